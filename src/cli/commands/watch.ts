/** `watch`: committed changes as they come. */
import type { Command } from 'commander'
import type { ActorDefinition } from '../../behaviour/definition.ts'
import type { Change, Watch } from '../../client/watch.ts'
import { HoldfastError } from '../../protocol/errors.ts'
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
    .option('--prefix <text>', 'of all of the type, only keys that begin so')
    .option('--from <position>', '"now", "start" (all that is kept), or the cursor of a change that you had', 'now')
    .option('--limit <n>', 'ends after so many changes', parseCount)
  define(
    command,
    surroundings,
    {
      examples: [
        'holdfast watch counter',
        'holdfast watch counter --prefix eu/',
        'holdfast watch counter c1 --from start --limit 10',
        'holdfast watch counter --json | jq .state',
      ],
      exits: [...remoteExits, exitCodes.conflict],
      more: 'Without --limit it goes on until it is interrupted, also over a server or a node that is away for a while.',
    },
    async (run, type, key) => {
      const { from, limit, prefix } = command.opts<{ from: string; limit?: number; prefix?: string }>()
      if (key !== undefined && prefix !== undefined) throw oneOfBoth()
      const holdfast = await (await run.session()).client()
      const watch =
        key === undefined
          ? holdfast.watch<ActorDefinition>(type, { from, prefix })
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

function print(output: Output, change: Change<unknown>): void {
  const { type, key, rev, state, deleted, omitted, reset } = change
  const json = toJson(state as Value)
  output.result({ ...change, state: json }, () => {
    const what = omitted ? '(too large for a message)' : deleted ? '(deleted)' : JSON.stringify(json)
    return `${type}/${key}  rev ${rev}  ${what}${reset ? '  (as it is now: what led to it is not kept)' : ''}`
  })
}

/** A key and a prefix at once. */
export const oneOfBoth = () => new HoldfastError('INVALID', 'give a key or --prefix, not both')
