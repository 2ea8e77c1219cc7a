/** `restore`: stores for a node, made of snapshots and logs while it does not run. */
import type { Command } from 'commander'
import { RocksDbStores } from '../../adapters/rocksdb/stores.ts'
import { catchUp } from '../../partition/log-tail.ts'
import { LoopShare } from '../../partition/loop-share.ts'
import { knownGeneration } from '../../partition/provision.ts'
import { defaultPartitionSettings } from '../../partition/settings.ts'
import { openReplica, type OpenOptions } from '../../partition/takeover.ts'
import type { HoldfastEvent, Observer } from '../../ports/observer.ts'
import type { Stores } from '../../ports/store.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import type { PartitionId } from '../../protocol/ids.ts'
import { exitCodes } from '../exit-codes.ts'
import type { Output } from '../output.ts'
import { chosenPartitions, megabytes, rateOf, storedCluster, type StoredCluster } from '../partitions.ts'
import { define, remoteExits, type Surroundings } from '../run.ts'
import type { CliSession } from '../session.ts'

const cacheBytes = 64 * 1_024 * 1_024

export function addRestore(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('restore')
    .description('Builds stores of partitions from their newest snapshot and the rest of their log.')
    .argument('[partition...]', 'their numbers (default: all)')
    .requiredOption('--to <dir>', 'the data directory of a node that does not run; created if it is not there')
  define(
    command,
    surroundings,
    {
      examples: ['holdfast restore --to ./data/node-3', 'holdfast restore 3 7 --to ./data/node-3'],
      exits: [...remoteExits, exitCodes.conflict],
      more: 'A node that begins with that directory replays only what came since. Nodes do the same by themselves: this is for doing it before, or without the cluster’s nodes. A store that is there is brought up to the end of its log; one that cannot be is set aside, never deleted.',
    },
    async (run) => {
      const { to } = command.opts<{ to: string }>()
      const session = await run.session()
      const cluster = await storedCluster(session)
      const chosen = chosenPartitions(command.args, cluster.settings.partitions)
      // One is open at a time: it has all the memory, which makes fewer and larger files.
      const stores = await RocksDbStores.open({ dataDir: to, maxStores: 1 })
      const done: Restored[] = []
      try {
        for (const partition of chosen) {
          const restored = await restoreOne({ session, cluster, stores, partition, output: run.output })
          done.push(restored)
        }
      } finally {
        await stores.close()
      }
      run.output.result(done, () => tableOf(done, run.output))
    },
  )
}

interface Restored {
  readonly partition: PartitionId
  /** `null`: from the log alone, or from the store that was there. */
  readonly snapshot: string | null
  readonly bytes: number
  readonly snapshotMs: number
  readonly records: number
  readonly seq: number
  readonly tookMs: number
}

interface Job {
  readonly session: CliSession
  readonly cluster: StoredCluster
  readonly stores: Stores
  readonly partition: PartitionId
  readonly output: Output
}

async function restoreOne({ session, cluster, stores, partition, output }: Job): Promise<Restored> {
  const { clock } = session
  const { ports, compression } = cluster
  const known = await knownGeneration(ports.registry, partition)
  if (known === null) throw new HoldfastError('NOT_FOUND', `the cluster has no partition ${partition}`)
  const begunMs = clock.monotonic()
  const told = new Told(output, partition)
  const options: OpenOptions = {
    ...ports,
    partition,
    generation: known.generation,
    stores,
    compression,
    log: ports.changelog.log(partition),
    clock,
    observer: told,
    share: new LoopShare(clock, defaultPartitionSettings.sliceMs),
    signal: new AbortController().signal,
    applyEveryMs: 100,
    cacheBytes: () => cacheBytes,
    // It is thrown as well.
    onStoreFailure: () => {},
  }
  const replica = await openReplica(options)
  try {
    await catchUp(replica, options)
  } catch (error) {
    await replica.close({ flush: false })
    throw error
  }
  const { seq } = replica.position
  await replica.close({ flush: true })
  return { partition, ...told.sums, seq, tookMs: Math.round(clock.monotonic() - begunMs) }
}

/** Tells people how it goes, and keeps the figures. */
class Told implements Observer {
  sums = { snapshot: null as string | null, bytes: 0, snapshotMs: 0, records: 0 }
  readonly #output: Output
  readonly #partition: PartitionId

  constructor(output: Output, partition: PartitionId) {
    this.#output = output
    this.#partition = partition
  }

  emit(event: HoldfastEvent): void {
    switch (event.type) {
      case 'snapshot.restoring':
        return this.#say(`${megabytes(event.bytes)} of ${megabytes(event.totalBytes)}, ${left(event.leftMs)}`)
      case 'snapshot.restored':
        this.sums = { ...this.sums, snapshot: event.id, bytes: event.bytes, snapshotMs: Math.round(event.tookMs) }
        return this.#say(`snapshot ${event.id} is restored, ${rateOf(event.bytes, event.tookMs)}`)
      case 'snapshot.faulty':
        return this.#say(`snapshot ${event.id} cannot be used: ${event.reason}`)
      case 'store.set-aside':
        return this.#say(`the store that was there is set aside, ${event.path ?? ''}: ${event.reason}`)
      case 'partition.replaying':
        return this.#say(`record ${event.at} of ${event.to}, ${left(event.leftMs)}`)
      case 'partition.replayed':
        this.sums = { ...this.sums, records: event.records }
        return
      default:
    }
  }

  #say(text: string): void {
    this.#output.note(`partition ${this.#partition}: ${text}`)
  }
}

const left = (ms: number | null): string => (ms === null ? '' : `${Math.ceil(ms / 1_000)} s left`)

function tableOf(done: readonly Restored[], output: Output): string {
  const rows = done.map(({ partition, snapshot, bytes, snapshotMs, records, seq, tookMs }) => [
    ...[partition, snapshot ?? '-', megabytes(bytes), rateOf(bytes, snapshotMs)],
    ...[records, seq, `${(tookMs / 1_000).toFixed(1)} s`],
  ])
  return output.table(['PARTITION', 'SNAPSHOT', 'SIZE', 'RATE', 'RECORDS', 'SEQ', 'TOOK'], rows)
}
