/** `snapshot`: owners cut snapshots now. */
import type { Command } from 'commander'
import { decodeNodeReply, encodeControl, type OrderedSnapshot } from '../../placement/control.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import { isNodeId, type PartitionId } from '../../protocol/ids.ts'
import { begun } from '../begun.ts'
import { exitCodes } from '../exit-codes.ts'
import { chosenPartitions, megabytes, rateOf } from '../partitions.ts'
import { define, remoteExits, type Surroundings } from '../run.ts'
import type { CliSession } from '../session.ts'

const lookEveryMs = 100

type Cut = Extract<OrderedSnapshot, { state: 'cut' }>

export function addSnapshot(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('snapshot')
    .description('Has the owners of partitions cut snapshots now, and waits for them.')
    .argument('[partition...]', 'their numbers')
    .option('--all', 'every partition')
  define(
    command,
    surroundings,
    {
      examples: [
        'holdfast snapshot 3',
        'holdfast snapshot --all --timeout 10m',
        "holdfast snapshot --all --json | jq '.[].id'",
      ],
      exits: [exitCodes.failed, ...remoteExits, exitCodes.unknown, exitCodes.conflict],
      more: 'Nodes cut snapshots by themselves as their logs grow, and keep the two newest of each partition: this is for a moment of your own, as before a backup. Writes go on meanwhile. --timeout is for each partition; with it over, a cut that was begun goes on, and the exit code is 4.',
    },
    async (run) => {
      const { all } = command.opts<{ all?: true }>()
      if ((all === true) === command.args.length > 0) {
        throw new HoldfastError('INVALID', 'name partitions, or give --all')
      }
      const session = await run.session()
      const { settings } = await session.report()
      const cuts: ({ readonly partition: PartitionId } & Omit<Cut, 'state'>)[] = []
      for (const partition of chosenPartitions(command.args, settings.partitions)) {
        const { state: _, ...cut } = await cutBy(session, partition)
        cuts.push({ partition, ...cut })
        run.output.note(`partition ${partition}: snapshot ${cut.id} at record ${cut.seq}`)
      }
      run.output.result(cuts, () =>
        run.output.table(
          ['PARTITION', 'SNAPSHOT', 'SEQ', 'ROWS', 'SIZE', 'STORED', 'RATE'],
          cuts.map(({ partition, id, seq, rows, bytes, stored, tookMs }) => [
            ...[partition, id, seq, rows],
            ...[megabytes(bytes), megabytes(stored), rateOf(bytes, tookMs)],
          ]),
        ),
      )
    },
  )
}

async function cutBy(session: CliSession, partition: PartitionId): Promise<Cut> {
  const { clock, settings, random } = session
  const sinceMs = clock.monotonic()
  const name = random.id()
  const look = () => askOwner(session, partition, name)
  let isBegun = false
  for (;;) {
    const snapshot: OrderedSnapshot | null = isBegun
      ? await begun(`the snapshot of partition ${partition}`, look)
      : await look()
    isBegun ||= snapshot !== null
    if (snapshot?.state === 'cut') return snapshot
    if (snapshot?.state === 'failed') {
      throw new HoldfastError('FAILED', `no snapshot of partition ${partition} was cut: ${snapshot.reason}`)
    }
    if (clock.monotonic() - sinceMs > settings.timeoutMs) {
      throw new HoldfastError(
        isBegun ? 'UNKNOWN' : 'TIMEOUT',
        snapshot === null
          ? `nobody serves partition ${partition}: see "holdfast partitions"`
          : `the snapshot of partition ${partition} is not cut after ${settings.timeoutMs} ms: it goes on, give a longer --timeout`,
      )
    }
    await session.sleep(lookEveryMs)
  }
}

/** `null`: nobody owns it now, or whoever does serves it not yet. */
async function askOwner(session: CliSession, partition: PartitionId, name: string): Promise<OrderedSnapshot | null> {
  const owner = (await session.report()).partitions[partition]?.owner ?? null
  if (owner === null || !isNodeId(owner)) return null
  const request = encodeControl({ op: 'snapshot', partition, name })
  const { done, snapshot } = decodeNodeReply(await session.orderNode(owner, request))
  return done ? (snapshot ?? null) : null
}
