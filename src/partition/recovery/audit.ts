/**
 * Is what is stored of a partition what it says? Snapshots, log and store, each compared with the others. Nothing is changed.
 *
 * AU1. A fault is a finding, told as a sentence; that nobody answers is none: `RETRY` is thrown.
 * AU2. The log is read from the leader, from the oldest snapshot on that is whole, or from its beginning: what every reader judges by is judged
 *      here (core/log.ts).
 * AU3. Snapshots are replaced and the log is trimmed while they are read. What is missing is a finding only where it is still to be there
 *      when that is asked again; else `RETRY`.
 */
import { hash64ToText, noShare, recordHash, replaceShare, sameBytes, type Hash64 } from '../../core/hashing.ts'
import { judge, startOfLog, type LogPosition } from '../../core/log.ts'
import type { PartitionLog } from '../../ports/changelog.ts'
import type { Registry } from '../../ports/registry.ts'
import type { Store } from '../../ports/store.ts'
import { HoldfastError, isHoldfastError, messageOf } from '../../protocol/errors.ts'
import { nextSeq, type Epoch, type Generation, type PartitionId, type Seq } from '../../protocol/ids.ts'
import { knownGeneration } from '../provision.ts'
import type { SnapshotSource } from '../snapshot/contents.ts'
import type { Manifest } from '../snapshot/manifest.ts'
import { isKept, readPointer } from '../snapshot/pointer.ts'
import { shareOf, verifySnapshot } from '../snapshot/verify.ts'
import { allRows, decodePosition, positionKey } from '../store-layout.ts'

export interface AuditOptions extends SnapshotSource {
  readonly partition: PartitionId
  readonly registry: Registry
  readonly log: PartitionLog
  /** A store that nobody writes. Default: only snapshots and log are looked at. */
  readonly store?: Store
}

export interface AuditedSnapshot {
  readonly id: string
  readonly seq: Seq
  /** 0 where it is faulty. */
  readonly rows: number
  readonly bytes: number
  readonly stored: number
  readonly fault: string | null
}

export interface AuditedLog {
  readonly first: Seq
  readonly last: Seq
  /** Records that were read and judged. */
  readonly valid: number
  readonly void: number
  /** Of the last claim. */
  readonly epoch: Epoch
  readonly fault: string | null
}

export interface AuditedStore {
  readonly seq: Seq
  readonly stateHash: string
  readonly fault: string | null
}

export interface Audit {
  readonly partition: PartitionId
  readonly generation: Generation
  /** Newest first. */
  readonly snapshots: readonly AuditedSnapshot[]
  /** `null`: there is none. */
  readonly log: AuditedLog | null
  readonly store: AuditedStore | null
  /** Nothing is wrong. */
  readonly ok: boolean
}

export async function audit(options: AuditOptions): Promise<Audit> {
  const { partition, registry, store } = options
  const known = await knownGeneration(registry, partition)
  if (known === null) throw new HoldfastError('NOT_FOUND', `the cluster has no partition ${partition}`)
  const { generation } = known
  const { kept } = await readPointer(registry, partition)
  const whole: Manifest[] = []
  const snapshots: AuditedSnapshot[] = []
  for (const { id, seq, generation: of } of kept) {
    const verdict = await verifySnapshot({ ...options, id })
    if (verdict.kind === 'whole') {
      const { rows, bytes, stored } = verdict.manifest
      if (of === generation) whole.push(verdict.manifest)
      snapshots.push({ id, seq, rows, bytes, stored, fault: null })
    } else {
      if (!(await isKept(registry, partition, id))) {
        throw new HoldfastError(
          'RETRY',
          `snapshot ${id} of partition ${partition} was replaced while it was read: ask again`,
        )
      }
      const fault = `${verdict.object} is ${verdict.kind}: ${verdict.reason}`
      snapshots.push({ id, seq, rows: 0, bytes: 0, stored: 0, fault })
    }
  }
  const log = await auditLog(options, generation, whole.at(-1)?.position)
  const audited = store === undefined ? null : await auditStore(options, store, generation, log)
  const faults = [...snapshots.map(({ fault }) => fault), log === null ? 'gone' : log.fault, audited?.fault ?? null]
  return { partition, generation, snapshots, log, store: audited, ok: faults.every((fault) => fault === null) }
}

/** AU3 */
async function auditLog(
  options: AuditOptions,
  generation: Generation,
  from: LogPosition | undefined,
): Promise<AuditedLog | null> {
  const audited = await judgeLog(options, generation, from)
  if (audited === null || audited.fault === null) return audited
  const { first = audited.first } = (await options.log.info()) ?? {}
  if (first <= audited.first) return audited
  throw new HoldfastError('RETRY', `the log of partition ${options.partition} was trimmed while it was read: ask again`)
}

/** AU2 */
async function judgeLog(
  { partition, log, signal }: AuditOptions,
  generation: Generation,
  from: LogPosition | undefined,
): Promise<AuditedLog | null> {
  const info = await log.info()
  if (info === null) return null
  const { first, last } = info
  const counts = { valid: 0, void: 0 }
  let position = from ?? startOfLog(partition, generation, first)
  const end = (fault: string | null) => ({ first, last, ...counts, epoch: position.epoch, fault })
  if (info.generation !== generation) return end(`it is of generation ${info.generation}, not ${generation}`)
  if (from === undefined && first > 1) return end(`it begins at ${first}, and no whole snapshot goes so far`)
  if (last < position.seq) return end(`it ends at ${last}, though there is a snapshot of ${position.seq}`)
  if (from !== undefined) {
    const fault = await linkFault(log, from)
    if (fault !== null) return end(fault)
  }
  for await (const { seq, record } of log.read(nextSeq(position.seq), last)) {
    signal?.throwIfAborted()
    const verdict = judge(position, seq, record)
    if (verdict.kind === 'broken') return end(verdict.reason)
    counts[verdict.kind]++
    position = verdict.position
  }
  return end(position.seq === last ? null : `it has no record ${nextSeq(position.seq)}`)
}

/** Whether the record is there that a snapshot or a store stands at. */
async function linkFault(log: PartitionLog, { validSeq, validHash }: LogPosition): Promise<string | null> {
  for await (const { record } of log.read(validSeq, validSeq)) {
    return sameBytes(recordHash(record), validHash) ? null : `its record ${validSeq} is another one`
  }
  return `it has no record ${validSeq}`
}

async function auditStore(
  { partition, log, signal }: AuditOptions,
  store: Store,
  generation: Generation,
  audited: AuditedLog | null,
): Promise<AuditedStore> {
  const [row] = await store.getMany([positionKey])
  if (row === undefined) return { seq: 0 as Seq, stateHash: '', fault: 'it is empty' }
  const { position, stateHash } = decodePosition(row)
  const end = (fault: string | null): AuditedStore => ({ seq: position.seq, stateHash: hash64ToText(stateHash), fault })
  if (position.partition !== partition) return end(`it is of partition ${position.partition}`)
  let sum: Hash64 = noShare
  try {
    for await (const [key, value] of store.range(allRows.gte, allRows.lt)) {
      signal?.throwIfAborted()
      if (Buffer.compare(key, positionKey) !== 0) sum = replaceShare(sum, noShare, shareOf(key, value))
    }
  } catch (error) {
    if (signal?.aborted === true || isHoldfastError(error, 'RETRY')) throw error
    return end(messageOf(error))
  }
  if (hash64ToText(sum) !== hash64ToText(stateHash)) return end(`the sum of its rows is ${hash64ToText(sum)}`)
  if (position.generation !== generation)
    return end(`it is of generation ${position.generation}, the log of ${generation}`)
  if (audited === null) return end('there is no log that it could belong to')
  if (position.seq > audited.last)
    return end(`it has come to record ${position.seq}, and the log ends at ${audited.last}`)
  if (position.validSeq < audited.first) return end(`the log begins at ${audited.first}: it is made anew of a snapshot`)
  const fault = await linkFault(log, position)
  return end(fault === null ? null : `the log is not its own: ${fault}`)
}
