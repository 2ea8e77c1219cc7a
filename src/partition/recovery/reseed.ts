/**
 * Seeding a lost log anew, by an operator's order (L1). The order of effects; each ends in a state that the next run goes on from, and until the last
 * of them no node opens anything:
 *
 * RE1. Only where the registry names a generation and there is no log of it. Nothing is ever removed: neither a log, which an operator has to
 *      keep and remove by hand, nor a store, nor a snapshot that is kept.
 * RE2. The state is stored as a snapshot of a new generation, whose name is the snapshot's id too, verified, and added to the pointer: the
 *      seed. From here on the state is settled: every later run goes on with this seed.
 * RE3. The log is created under that generation. Its genesis record is reckoned from the seed alone, names it by the generation, and carries the
 *      hash of its state; it comes behind every sequence of the lost log (core/reseed.ts).
 * RE4. The registry's generation changes from the lost one to the new one, by compare-and-set. Nodes begin with it by themselves.
 *
 * RE5. Between RE1 and RE4 more than a read lease passes: who still reads under the lost log has stopped (O3, O4).
 * RE6. Of several runs at once one has its seed in the pointer (D4), and all the others go on with that or fail.
 */
import { recordHash, sameBytes } from '../../core/hashing.ts'
import { genesisRecord, judge, startOfLog, type LogPosition } from '../../core/log.ts'
import { serveFrom } from '../../core/read-lease.ts'
import { beginBehind } from '../../core/reseed.ts'
import type { Changelog } from '../../ports/changelog.ts'
import type { Observer } from '../../ports/observer.ts'
import type { Random } from '../../ports/random.ts'
import type { CasResult, Registry } from '../../ports/registry.ts'
import { HoldfastError, isHoldfastError } from '../../protocol/errors.ts'
import { generation, seq, type Generation, type PartitionId, type Seq } from '../../protocol/ids.ts'
import { generationKey, knownGeneration, knownSettings } from '../provision.ts'
import { readManifest, type SnapshotSource } from '../snapshot/contents.ts'
import { storeSnapshot } from '../snapshot/cut.ts'
import type { Manifest } from '../snapshot/manifest.ts'
import { addSeed, readPointer, seedIn, type KeptSnapshot } from '../snapshot/pointer.ts'
import { rowsAt, type SeedState } from './seed-state.ts'

export interface ReseedOptions extends SnapshotSource {
  readonly partition: PartitionId
  readonly registry: Registry
  readonly changelog: Changelog
  readonly random: Random
  readonly observer: Observer
  readonly signal: AbortSignal
}

/** What there is to begin from. */
export interface LostLog {
  readonly generation: Generation
  /** Of a run that was begun and did not end (RE2); `null`: none was. */
  readonly seed: KeptSnapshot | null
  /** Of the lost log and those before it, newest first. */
  readonly snapshots: readonly KeptSnapshot[]
}

export interface Reseeded {
  readonly generation: Generation
  /** Where the new log begins. */
  readonly first: Seq
  readonly manifest: Manifest
}

/**
 * RE1, RE2. Throws `CONFLICT` where the log is there and so is not lost, `NOT_FOUND` where the cluster has no such partition, `RETRY`, and what a
 * log says that is not set up as it must be.
 */
export async function lostLog({ partition, registry, changelog }: ReseedOptions): Promise<LostLog> {
  const known = await knownGeneration(registry, partition)
  if (known === null) throw new HoldfastError('NOT_FOUND', `the cluster has no partition ${partition}`)
  const info = await changelog.log(partition).info()
  const pointer = await readPointer(registry, partition)
  const seed = seedIn(pointer, known.generation) ?? null
  if (info !== null && info.generation !== seed?.generation) {
    throw new HoldfastError(
      'CONFLICT',
      `the log of partition ${partition} is there, with records ${info.first} to ${info.last}: nothing is recovered, and nothing removed. If it is broken, keep a copy of its stream, then remove it by hand (docs/operations.md)`,
    )
  }
  return { generation: known.generation, seed, snapshots: pointer.kept.filter(({ id }) => id !== seed?.id) }
}

/**
 * Seeds the log with `state`, or goes on with the seed that is there: then `state` is not asked for. `known`: the highest sequence of the lost log
 * that anybody knows. Throws `CONFLICT` where somebody else recovers it, and what the ports throw: the same again goes on.
 */
export async function reseed(
  options: ReseedOptions,
  { generation: lost, seed }: LostLog,
  state: SeedState | null,
  known: Seq,
): Promise<Reseeded> {
  const { partition, registry, clock } = options
  const leaseMs = (await knownSettings(registry))?.leaseMs ?? 0
  const silentFromMs = serveFrom(clock.monotonic(), leaseMs, false)
  const manifest =
    seed === null ? await plant(options, lost, state!, known) : await readManifest(options, partition, seed.id)
  // RE5
  await new Promise<void>((resolve) => clock.setTimeout(resolve, Math.max(0, silentFromMs - clock.monotonic())))
  await createLog(options, manifest)
  await rename(options, lost, manifest.position.generation)
  return { generation: manifest.position.generation, first: manifest.position.validSeq, manifest }
}

/** RE2 */
async function plant(options: ReseedOptions, lost: Generation, state: SeedState, known: Seq): Promise<Manifest> {
  const { partition, registry, random } = options
  const fresh = generation(random.id())
  const { position, stateHash } = state.stored
  const begin = positionAt(partition, fresh, beginBehind(seq(Math.max(known, position.seq))), {
    stateHash,
    time: position.time,
  })
  return storeSnapshot({
    ...options,
    bytesPerSecond: Number.POSITIVE_INFINITY,
    id: fresh,
    pages: () => rowsAt(state, begin),
    keep: (snapshot) => addSeed(registry, partition, snapshot, lost),
  })
}

/** Right behind the genesis record. */
function positionAt(
  partition: PartitionId,
  fresh: Generation,
  first: Seq,
  seed: Parameters<typeof genesisRecord>[2],
): LogPosition {
  const verdict = judge(startOfLog(partition, fresh, first), first, genesisRecord(partition, fresh, seed))
  if (verdict.kind !== 'valid') throw new Error(verdict.reason)
  return { ...verdict.position, published: first }
}

/** RE3 */
async function createLog({ partition, changelog }: ReseedOptions, { position, stateHash }: Manifest): Promise<void> {
  const { generation: fresh, validSeq: first, validHash, time } = position
  const genesis = genesisRecord(partition, fresh, { stateHash, time })
  if (!sameBytes(recordHash(genesis), validHash)) {
    throw new HoldfastError(
      'INVALID',
      `another version has begun to recover partition ${partition}: go on with that one`,
    )
  }
  await changelog.provision(partition, fresh, genesis, first)
  const info = await changelog.log(partition).info()
  if (info?.generation === fresh && info.last >= first) return
  throw new HoldfastError(
    'CONFLICT',
    `somebody else has made the log of partition ${partition} meanwhile: run it again`,
  )
}

/** RE4 */
async function rename({ partition, registry }: ReseedOptions, lost: Generation, fresh: Generation): Promise<void> {
  for (;;) {
    const entry = await knownGeneration(registry, partition)
    if (entry?.generation === fresh) return
    if (entry?.generation !== lost) {
      throw new HoldfastError('CONFLICT', `partition ${partition} is being recovered by somebody else: run it again`)
    }
    let result: CasResult | undefined
    try {
      result = await registry.update(generationKey(partition), Buffer.from(fresh), entry.revision)
    } catch (error) {
      // Perhaps written: the next look tells.
      if (!isHoldfastError(error, 'UNKNOWN')) throw error
    }
    if (result?.kind === 'written') return
  }
}
