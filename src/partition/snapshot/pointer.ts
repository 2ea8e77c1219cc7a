/**
 * Which snapshots of a partition count: one key of the registry, `snapshot.<n>`, JSON.
 *
 * D1. It changes by compare-and-set alone. What a read says may be old (G1): a decision counts when its write is accepted.
 * D2. The two newest snapshots are kept, the newest first. A snapshot is added only by the cut that is registered here, and within a
 *     generation only behind the newest: the pointer never goes back.
 * D3. One cut is registered at a time. The next one takes the place of one that has died or was fenced, which then can add nothing any more.
 * D4. What a lost log is seeded with (recovery/reseed.ts) is of a generation that no log has yet. While it is the newest nothing of another
 *     generation is added, neither a snapshot nor another seed: whoever wants to seed goes on with that one.
 */
import type { CasResult, Registry, RegistryEntry } from '../../ports/registry.ts'
import { HoldfastError, isHoldfastError } from '../../protocol/errors.ts'
import { generation, seq, type Generation, type PartitionId, type Seq } from '../../protocol/ids.ts'
import { parseJsonText } from '../../protocol/json-text.ts'
import { isSnapshotId } from './manifest.ts'

export interface KeptSnapshot {
  readonly id: string
  readonly generation: Generation
  /** Where it was cut: the store had come so far. */
  readonly seq: Seq
  /** Of the last valid record there: a log that is trimmed keeps it (L8). */
  readonly validSeq: Seq
}

export interface SnapshotPointer {
  /** Newest first, at most two. */
  readonly kept: readonly KeptSnapshot[]
  /** The cut that is registered; `null`: none is under way. */
  readonly cutting: string | null
}

const keptSnapshots = 2
/** Each try that fails means that somebody else has written: more than so many are none of our doing. */
const tries = 32
const empty: SnapshotPointer = { kept: [], cutting: null }

const keyOf = (partition: PartitionId): string => `snapshot.${partition}`

/** As the registry says, which may be old (D1). Throws `RETRY`, and `INVALID` where another version wrote it. */
export async function readPointer(registry: Registry, partition: PartitionId): Promise<SnapshotPointer> {
  return pointerOf(await registry.get(keyOf(partition)), partition)
}

/** Whether a snapshot is still kept: whoever reads one while newer ones are cut may find it gone. */
export async function isKept(registry: Registry, partition: PartitionId, id: string): Promise<boolean> {
  return (await readPointer(registry, partition)).kept.some((snapshot) => snapshot.id === id)
}

/** Registers a cut (D3). */
export async function registerCut(registry: Registry, partition: PartitionId, id: string): Promise<void> {
  await change(registry, partition, (pointer) => (pointer.cutting === id ? null : { ...pointer, cutting: id }))
}

/** Adds what the registered cut has made, and ends the cut (D2). Throws `CONFLICT` where it is not registered any more, or not newer. */
export async function addSnapshot(
  registry: Registry,
  partition: PartitionId,
  added: KeptSnapshot,
): Promise<SnapshotPointer> {
  return change(registry, partition, (pointer) => {
    const [newest] = pointer.kept
    if (newest?.id === added.id) return null
    if (pointer.cutting !== added.id) throw replaced(partition)
    // An owner that has not noticed yet that its log is lost.
    if (seedIn(pointer, added.generation) !== undefined) throw replaced(partition)
    if (newest !== undefined && newest.generation === added.generation && newest.seq >= added.seq) {
      throw new HoldfastError(
        'CONFLICT',
        `there is a snapshot of partition ${partition} at ${newest.seq}, which is not before ${added.seq}`,
      )
    }
    return { kept: [added, ...pointer.kept].slice(0, keptSnapshots), cutting: null }
  })
}

/** Adds the seed of a log that takes the place of the lost one of generation `lost` (D4). Throws `CONFLICT` likewise, and where there is another seed. */
export async function addSeed(
  registry: Registry,
  partition: PartitionId,
  seed: KeptSnapshot,
  lost: Generation,
): Promise<void> {
  await change(registry, partition, (pointer) => {
    const [newest] = pointer.kept
    if (newest?.id === seed.id) return null
    if (pointer.cutting !== seed.id) throw replaced(partition)
    if (seedIn(pointer, lost) !== undefined) {
      throw new HoldfastError('CONFLICT', `partition ${partition} is being recovered by somebody else: run it again`)
    }
    return { kept: [seed, ...pointer.kept].slice(0, keptSnapshots), cutting: null }
  })
}

/** The seed that waits for its log, where the registry names `known` (D4): its id is its generation. */
export const seedIn = ({ kept: [newest] }: SnapshotPointer, known: Generation): KeptSnapshot | undefined =>
  newest !== undefined && newest.generation !== known && newest.id === newest.generation ? newest : undefined

/** Throws `CONFLICT` where the cut is not registered any more: its objects may be gone. */
export async function checkRegistered(registry: Registry, partition: PartitionId, id: string): Promise<void> {
  if ((await readPointer(registry, partition)).cutting !== id) throw replaced(partition)
}

/** Ends a cut that has failed, and gives the pointer as it is then, proven by a write (D1): what is not kept there never will be. */
export async function endCut(registry: Registry, partition: PartitionId, id: string): Promise<SnapshotPointer> {
  return change(registry, partition, (pointer) => (pointer.cutting === id ? { ...pointer, cutting: null } : pointer))
}

/** The pointer as it is, proven by writing it again (D1). */
export async function confirmPointer(registry: Registry, partition: PartitionId): Promise<SnapshotPointer> {
  return change(registry, partition, (pointer) => pointer)
}

/** `next` gives what is to be written, or null where the pointer is as it should be. */
async function change(
  registry: Registry,
  partition: PartitionId,
  next: (pointer: SnapshotPointer) => SnapshotPointer | null,
): Promise<SnapshotPointer> {
  const key = keyOf(partition)
  for (let attempt = 0; attempt < tries; attempt++) {
    const entry = await registry.get(key)
    const pointer = pointerOf(entry, partition)
    const wanted = next(pointer)
    if (wanted === null) return pointer
    const bytes = Buffer.from(JSON.stringify({ format: 1, ...wanted }))
    let result: CasResult
    try {
      result = entry === null ? await registry.create(key, bytes) : await registry.update(key, bytes, entry.revision)
    } catch (error) {
      // Perhaps written: the next look tells.
      if (isHoldfastError(error, 'UNKNOWN')) continue
      throw error
    }
    if (result.kind === 'written') return wanted
  }
  throw new HoldfastError('RETRY', `the registry's key ${key} is written by others all the time: try again`)
}

function pointerOf(entry: RegistryEntry | null, partition: PartitionId): SnapshotPointer {
  return entry === null ? empty : decodePointer(entry.value, partition)
}

/** Throws `INVALID` for anything else than a pointer. */
export function decodePointer(value: Uint8Array, partition: PartitionId): SnapshotPointer {
  let json: unknown
  try {
    json = parseJsonText(value)
  } catch (cause) {
    throw refuse(partition, cause)
  }
  const { format, kept, cutting } = (json ?? {}) as Record<string, unknown>
  const known = format === 1 && Array.isArray(kept) && kept.length <= keptSnapshots
  if (!known || !(cutting === null || isSnapshotId(cutting))) throw refuse(partition)
  return { kept: kept.map((each) => keptOf(each, partition)), cutting }
}

function keptOf(json: unknown, partition: PartitionId): KeptSnapshot {
  const { id, generation: name, seq: at, validSeq } = (json ?? {}) as Record<string, unknown>
  if (!isSnapshotId(id) || typeof name !== 'string' || !isSeq(at) || !isSeq(validSeq) || validSeq > at) {
    throw refuse(partition)
  }
  return { id, generation: generation(name), seq: seq(at), validSeq: seq(validSeq) }
}

const replaced = (partition: PartitionId) =>
  new HoldfastError('CONFLICT', `another cut of partition ${partition} has begun since this one: leave it to that`)

const isSeq = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value > 0

const refuse = (partition: PartitionId, cause?: unknown) =>
  new HoldfastError(
    'INVALID',
    `the registry's key ${keyOf(partition)} does not hold what this version knows: start the version that wrote it`,
    { cause },
  )
