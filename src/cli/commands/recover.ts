/** `recover`: a partition whose log was lost begins again, from a state that the operator chooses. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Option, type Command } from 'commander'
import { RocksDbStores } from '../../adapters/rocksdb/stores.ts'
import { lostLog, reseed, type LostLog, type ReseedOptions } from '../../partition/recovery/reseed.ts'
import { emptyState, snapshotState, storeState, type SeedState } from '../../partition/recovery/seed-state.ts'
import { readManifest } from '../../partition/snapshot/contents.ts'
import { silent } from '../../ports/observer.ts'
import { HoldfastError, isHoldfastError, type ErrorCode } from '../../protocol/errors.ts'
import { seq, type PartitionId } from '../../protocol/ids.ts'
import { exitCodes } from '../exit-codes.ts'
import { chosenPartitions, storedCluster } from '../partitions.ts'
import { planOf } from '../placement-leader.ts'
import { define, remoteExits, type Surroundings } from '../run.ts'
import type { CliSession } from '../session.ts'

interface RecoverOptions {
  readonly from?: 'snapshot' | 'store' | 'nothing'
  readonly snapshot?: string
  readonly data?: string
  readonly yes?: true
}

export function addRecover(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('recover')
    .description(
      'Begins the log of a partition anew that was lost, from a state that is left. Without --yes it only tells.',
    )
    .argument('<partition>', 'its number')
    .addOption(
      new Option('--from <state>', 'what to begin with (default: the newest snapshot)').choices([
        'snapshot',
        'store',
        'nothing',
      ]),
    )
    .option('--snapshot <id>', 'with --from snapshot: another one that is kept')
    .option('--data <dir>', 'with --from store: the data directory of a node that does not run, or a copy of one')
    .option('--yes', 'do it')
  define(
    command,
    surroundings,
    {
      examples: [
        'holdfast recover 3',
        'holdfast recover 3 --from store --data ./data/node-1',
        'holdfast recover 3 --from snapshot --yes',
      ],
      exits: [...remoteExits, exitCodes.unknown, exitCodes.conflict],
      more: 'What was acknowledged after that state is lost, for good. Only where the log is gone: a broken one is kept in a copy and removed by hand before. Nothing is deleted; stores of the lost log are set aside by their nodes, which begin with the new one by themselves. A run that was interrupted is gone on with by the next one. See docs/operations.md.',
    },
    async (run, given) => {
      const chosen = command.opts<RecoverOptions>()
      checkOptions(chosen)
      const session = await run.session()
      const { settings, ports, compression } = await storedCluster(session)
      const [partition] = chosenPartitions([given], settings.partitions) as [PartitionId]
      const { clock, random } = session
      const signal = new AbortController().signal
      const options = { ...ports, partition, compression, clock, random, observer: silent, signal }
      const lost = await lostLog(options)
      await withState(options, lost, chosen, async (state) => {
        const plan = await planFor(session, options, lost, state)
        if (chosen.yes !== true) {
          return run.output.result({ done: false, ...plan }, () =>
            [...sentencesOf(plan), '', 'Nothing was done: give --yes to do it.'].join('\n'),
          )
        }
        for (const sentence of sentencesOf(plan)) run.output.note(sentence)
        const known = seq(Math.max(0, ...plan.known.map((each) => each.seq)))
        const { generation, first } = await reseed(options, lost, state?.state ?? null, known)
        run.output.result(
          { done: true, ...plan, generation, first },
          `the log of partition ${partition} begins again at ${first}, generation ${generation}: its nodes open it by themselves`,
        )
      })
    },
  )
}

function checkOptions({ from = 'snapshot', snapshot, data }: RecoverOptions): void {
  if ((from === 'store') !== (data !== undefined)) {
    throw new HoldfastError('INVALID', '--from store and --data DIR go together')
  }
  if (snapshot !== undefined && from !== 'snapshot') {
    throw new HoldfastError('INVALID', '--snapshot goes with --from snapshot')
  }
}

interface ChosenState {
  /** For people. */
  readonly name: string
  readonly state: SeedState
}

/** `null`: a run before has settled it. */
async function withState(
  options: ReseedOptions,
  lost: LostLog,
  { from, snapshot, data }: RecoverOptions,
  work: (state: ChosenState | null) => Promise<void>,
): Promise<void> {
  const { partition } = options
  if (lost.seed !== null) {
    if (from === undefined) return work(null)
    throw new HoldfastError(
      'CONFLICT',
      `partition ${partition} is being recovered already: go on with that, without --from`,
    )
  }
  if (from === 'nothing') return work({ name: 'nothing', state: emptyState(partition, lost.generation) })
  if (from !== 'store') {
    const kept = lost.snapshots.find(({ id }) => snapshot === undefined || id === snapshot)
    if (kept !== undefined) {
      return work({ name: `snapshot ${kept.id}`, state: await snapshotState(options, partition, kept.id) })
    }
    throw new HoldfastError(
      'NOT_FOUND',
      `there is no snapshot ${snapshot ?? ''} of partition ${partition}: give --from store --data DIR, or --from nothing`,
    )
  }
  if (!existsSync(join(data!, `p${partition}`))) {
    throw new HoldfastError('NOT_FOUND', `there is no store ${join(data!, `p${partition}`)}`)
  }
  const stores = await RocksDbStores.open({ dataDir: data!, maxStores: 1, keepDiscarded: true })
  try {
    const state = await storeState(await stores.open(partition), partition)
    await work({ name: `the store ${join(data!, `p${partition}`)}`, state })
  } finally {
    await stores.close()
  }
}

interface Plan {
  readonly partition: PartitionId
  readonly lost: string
  readonly from: string
  /** Where the state ends, in the lost log, and of what time it is, ms since 1970; `null`: a run before has settled it. */
  readonly seq: number | null
  readonly time: number | null
  /** Nodes that had come further, or less far, as far as they tell. */
  readonly known: readonly { readonly by: string; readonly seq: number }[]
  /** Records that somebody knows of and the state does not have, at least; `null`: nobody can say. */
  readonly losesAtLeast: number | null
}

async function planFor(
  session: CliSession,
  options: ReseedOptions,
  { generation, seed, snapshots }: LostLog,
  chosen: ChosenState | null,
): Promise<Plan> {
  const { partition } = options
  const known = [
    ...(await positionsOf(session, partition)),
    ...snapshots
      .filter((each) => each.generation === generation)
      .map(({ id, seq: at }) => ({ by: `snapshot ${id}`, seq: at })),
  ]
  const about = { partition, lost: generation, known }
  if (chosen === null) {
    const { cutAt } = await readManifest(options, partition, seed!.id)
    const from = `the run of ${new Date(cutAt).toISOString()}, which did not end`
    return { ...about, from, seq: null, time: null, losesAtLeast: null }
  }
  const { position } = chosen.state.stored
  const most = Math.max(...known.map((each) => each.seq))
  return {
    ...about,
    from: chosen.name,
    seq: position.seq,
    time: position.time,
    losesAtLeast: known.length === 0 ? null : Math.max(0, most - position.seq),
  }
}

/** As nodes tell: those that have stopped tell how far they had come. None where no node answers. */
async function positionsOf(session: CliSession, partition: PartitionId): Promise<Plan['known']> {
  try {
    const { state } = await planOf(session)
    return state.members.flatMap(({ ref, hosted }) => {
      const { appliedSeq = 0 } = hosted.get(partition) ?? {}
      return appliedSeq === 0 ? [] : [{ by: `node ${ref.id}`, seq: appliedSeq }]
    })
  } catch (error) {
    // Nobody is there, or this login may not ask: then nobody tells.
    if (['RETRY', 'TIMEOUT', 'INVALID'].some((code) => isHoldfastError(error, code as ErrorCode))) return []
    throw error
  }
}

function sentencesOf({ partition, lost, from, seq: at, time, known, losesAtLeast }: Plan): readonly string[] {
  const when = time === null || time === 0 ? '' : `, ${new Date(time).toISOString()}`
  return [
    `The log of partition ${partition}, generation ${lost}, is gone.`,
    at === null ? `It goes on with ${from}.` : `It begins again with ${from}: record ${at} of the lost log${when}.`,
    ...known.map(({ by, seq: come }) => `  ${by} has come to record ${come}`),
    losesAtLeast === null
      ? 'Nobody can say how many records after that are lost.'
      : losesAtLeast === 0
        ? 'Nobody knows of a record after that; what only the lost log had is lost.'
        : `At least ${losesAtLeast} records after that are lost, and what they acknowledged.`,
  ]
}
