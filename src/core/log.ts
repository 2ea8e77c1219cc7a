/**
 * Reading a partition's log: which records count. Pure; readers, claimers and owners in trouble all judge by this one function.
 *
 * L1. The genesis record comes first and names the generation: at sequence 1, or, of a log that was seeded with a state, later (reseed.ts).
 * L3. A record is valid if its link names the last valid record and, for a claim, its epoch is strictly higher, for any other its
 *     epoch and incarnation are exactly those of the last valid claim, which was not handed off. The rest is void and passed over.
 * L4. Broken, and the end of reading: a gap in the sequences, a record that cannot be decoded, of another partition, a second
 *     genesis, or a claim that does not link.
 */
import { HoldfastError, messageOf } from '../protocol/errors.ts'
import {
  nextSeq,
  seq as seqOf,
  type Epoch,
  type Generation,
  type Incarnation,
  type PartitionId,
  type Seq,
} from '../protocol/ids.ts'
import { decodeRecord, encodeRecord, type LogRecord } from '../protocol/record.ts'
import { hash64ToBytes, noLink, noShare, recordHash, sameBytes, type Hash64 } from './hashing.ts'

/** How far a reader has come, and all it needs to judge the next record. */
export interface LogPosition {
  readonly partition: PartitionId
  readonly generation: Generation
  /** Last sequence read, valid or void. */
  readonly seq: Seq
  /** Sequence and hash of the last valid record. */
  readonly validSeq: Seq
  readonly validHash: Uint8Array
  /** Of the last valid claim; epoch 0 before the first. */
  readonly epoch: Epoch
  readonly incarnation: Incarnation
  /** The last valid record ended that claim: only a new claim can follow. */
  readonly handedOff: boolean
  /** Of the last valid record. */
  readonly time: number
  readonly published: Seq
}

export type Verdict =
  | { readonly kind: 'valid'; readonly record: LogRecord; readonly position: LogPosition }
  | { readonly kind: 'void'; readonly reason: string; readonly position: LogPosition }
  | { readonly kind: 'broken'; readonly reason: string }

/** Before the genesis record, which is at `first`. */
export function startOfLog(partition: PartitionId, generation: Generation, first: Seq = seqOf(1)): LogPosition {
  return {
    partition,
    generation,
    seq: seqOf(first - 1),
    validSeq: seqOf(0),
    validHash: noLink,
    epoch: 0 as Epoch,
    incarnation: '' as Incarnation,
    handedOff: false,
    time: 0,
    published: seqOf(0),
  }
}

/** What a log begins with that has no records of it. */
export interface Seed {
  readonly stateHash: Hash64
  /** Of the partition, ms. */
  readonly time: number
}

const nothing: Seed = { stateHash: noShare, time: 0 }

export function genesisRecord(partition: PartitionId, generation: Generation, seed: Seed = nothing): Uint8Array {
  return encodeRecord({
    kind: 'genesis',
    partition,
    epoch: 0 as Epoch,
    incarnation: '' as Incarnation,
    prev: noLink,
    time: seed.time,
    published: seqOf(0),
    stateHash: hash64ToBytes(seed.stateHash),
    generation,
  })
}

export function judge(position: LogPosition, seq: Seq, bytes: Uint8Array): Verdict {
  if (seq !== nextSeq(position.seq)) return broken(`sequence ${seq} follows ${position.seq}`)
  let record: LogRecord
  try {
    record = decodeRecord(bytes)
  } catch (error) {
    return broken(`record ${seq}: ${messageOf(error)}`)
  }
  if (record.partition !== position.partition) return broken(`record ${seq} is of partition ${record.partition}`)
  if (position.validSeq === 0) {
    if (record.kind !== 'genesis') return broken(`the first record is a ${record.kind}, not a genesis`)
    if (record.generation !== position.generation) {
      return broken(`the log is of generation ${record.generation}, not ${position.generation}`)
    }
    return valid(position, seq, bytes, record)
  }
  const links = sameBytes(record.prev, position.validHash)
  switch (record.kind) {
    case 'genesis':
      return broken(`record ${seq} is a second genesis`)
    case 'claim':
      if (record.epoch <= position.epoch)
        return passOver(position, seq, `claim of epoch ${record.epoch} after ${position.epoch}`)
      if (!links) return broken(`the claim at ${seq} does not link to record ${position.validSeq}`)
      return valid(position, seq, bytes, record)
    case 'commit':
    case 'handoff':
      if (position.epoch === 0) return passOver(position, seq, `${record.kind} before the first claim`)
      if (record.epoch !== position.epoch || record.incarnation !== position.incarnation) {
        return passOver(position, seq, `${record.kind} of epoch ${record.epoch} in epoch ${position.epoch}`)
      }
      if (position.handedOff) return passOver(position, seq, `${record.kind} after the hand-off`)
      if (!links) return passOver(position, seq, `${record.kind} that does not link to record ${position.validSeq}`)
      return valid(position, seq, bytes, record)
  }
}

function valid(position: LogPosition, seq: Seq, bytes: Uint8Array, record: LogRecord): Verdict {
  const claim = record.kind === 'claim'
  return {
    kind: 'valid',
    record,
    position: {
      partition: position.partition,
      generation: position.generation,
      seq,
      validSeq: seq,
      validHash: recordHash(bytes),
      epoch: claim ? record.epoch : position.epoch,
      incarnation: claim ? record.incarnation : position.incarnation,
      handedOff: record.kind === 'handoff',
      time: Math.max(position.time, record.time),
      published: record.published > position.published ? record.published : position.published,
    },
  }
}

const passOver = (position: LogPosition, seq: Seq, reason: string): Verdict => ({
  kind: 'void',
  reason,
  position: { ...position, seq },
})

const broken = (reason: string): Verdict => ({ kind: 'broken', reason })

/** Thrown by readers of a broken log: the partition stops (L1, L4). */
export class BrokenLog extends HoldfastError {
  constructor(partition: PartitionId, reason: string) {
    super(
      'INTERNAL',
      `the log of partition ${partition} is broken: ${reason}. Its stores are kept; an operator has to decide.`,
    )
  }
}
