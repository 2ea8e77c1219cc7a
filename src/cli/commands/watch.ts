/** `watch`: committed changes as they come. */
import type { Command } from 'commander'
import type { ActorDefinition } from '../../behaviour/definition.ts'
import type { Change, Watch } from '../../client/watch.ts'
import { toJson, type Value } from '../../protocol/values.ts'
import { exitCodes } from '../exit-codes.ts'
import type { Output } from '../output.ts'
import { parseCount } from '../parse.ts'
import { define, remoteExits, type Run, type Surroundings } from '../run.ts'
import { endSignal } from '../signals.ts'

export function addWatch(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('watch')
    .description('Prints the committed changes of a keyed actor, or of all of a type, in order, each once.')
    .argument('<type>', 'actor type, e.g. cart')
    .argument('[key]', 'one of them; without it all of the type')
    .option('--from <position>', '"now", "start" (all that is kept), or the cursor of a change that you had', 'now')
    .option('--limit <n>', 'ends after so many changes', parseCount)
  define(
    command,
    surroundings,
    {
      examples: [
        'holdfast watch counter',
        'holdfast watch counter c1 --from start --limit 10',
        'holdfast watch counter --json | jq .state',
      ],
      exits: [...remoteExits, exitCodes.conflict],
      more: 'Without --limit it goes on until it is interrupted, also over a server or a node that is away for a while.',
    },
    async (run, type, key) => {
      const { from, limit } = command.opts<{ from: string; limit?: number }>()
      const holdfast = await (await run.session()).client()
      const watch =
        key === undefined
          ? holdfast.watch<ActorDefinition>(type, { from })
          : holdfast.actor<ActorDefinition>(type, key).watch({ from })
      await follow(run, watch, limit)
    },
  )
}

/** Prints changes until there are `limit`, or the process is told to end. */
export async function follow(run: Run, watch: Watch<unknown>, limit: number | undefined): Promise<void> {
  const end = endSignal()
  end.signal.addEventListener('abort', () => watch.close(), { once: true })
  try {
    await watch.ready()
    run.output.note('watching; end it with Ctrl-C')
    let count = 0
    for await (const change of watch) {
      print(run.output, change)
      if (++count === limit) break
    }
  } catch (error) {
    if (!end.signal.aborted) throw error
  } finally {
    watch.close()
    end.release()
  }
}

function print(output: Output, { type, key, rev, state, cursor, at, omitted }: Change<unknown>): void {
  const json = toJson(state as Value)
  const change = { type, key, rev, state: json, cursor, at, ...(omitted === undefined ? {} : { omitted }) }
  output.result(change, () => {
    const what = omitted === true ? '(too large for a message)' : state === null ? '(deleted)' : JSON.stringify(json)
    return `${type}/${key}  rev ${rev}  ${what}`
  })
}
