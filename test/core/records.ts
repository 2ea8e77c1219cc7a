/** Makes records and logs for the tests of the cores. */
import { hash64ToBytes, noShare } from '../../src/core/hashing.ts'
import { genesisRecord, judge, startOfLog, type LogPosition, type Verdict } from '../../src/core/log.ts'
import {
  epoch,
  generation,
  incarnation,
  nextSeq,
  partitionId,
  rev,
  seq,
  sessionId,
  type NodeId,
} from '../../src/protocol/ids.ts'
import { encodeRecord, type CommitRecord, type RecordHeader } from '../../src/protocol/record.ts'

export const p0 = partitionId(0)
export const g1 = generation('firstGeneration1234567')
export const genesis = genesisRecord(p0, g1)

/** What a writer puts into a header; the position supplies the rest. */
export interface HeaderChanges {
  readonly partition?: number
  readonly epoch?: number
  readonly incarnation?: string
  readonly prev?: Uint8Array
  readonly time?: number
  readonly published?: number
}

function headerAt(position: LogPosition, changes: HeaderChanges): RecordHeader {
  return {
    partition: partitionId(changes.partition ?? position.partition),
    epoch: epoch(changes.epoch ?? position.epoch),
    incarnation: incarnation(changes.incarnation ?? position.incarnation),
    prev: changes.prev ?? position.validHash,
    time: changes.time ?? position.time,
    published: seq(changes.published ?? position.published),
    stateHash: hash64ToBytes(noShare),
  }
}

/** A claim that would be valid right after `position`, but for the changes. */
export const claimAt = (position: LogPosition, changes: HeaderChanges & { readonly node?: string } = {}): Uint8Array =>
  encodeRecord({
    kind: 'claim',
    ...headerAt(position, { epoch: position.epoch + 1, incarnation: `inc${position.epoch + 1}`, ...changes }),
    node: (changes.node ?? 'node-a') as NodeId,
  }).slice()

/** A commit with one turn that says `what`, which makes its bytes its own. */
export const commitAt = (position: LogPosition, what: string, changes: HeaderChanges = {}): Uint8Array =>
  encodeRecord({ ...commitRecord(what), ...headerAt(position, changes) }).slice()

export const handoffAt = (position: LogPosition, changes: HeaderChanges = {}): Uint8Array =>
  encodeRecord({ kind: 'handoff', ...headerAt(position, changes), to: 'node-b' as NodeId }).slice()

function commitRecord(what: string): CommitRecord {
  return {
    kind: 'commit',
    ...headerAt(startOfLog(p0, g1), {}),
    sessions: [{ session: sessionId('s'), low: 0 }],
    ended: [],
    turns: [
      {
        session: 0,
        number: 0,
        reply: Uint8Array.of(0xc0),
        mutations: [{ type: 't', key: what, rev: rev(1), state: null, expiresAt: null }],
      },
    ],
    outputs: [],
  }
}

/** A log in an array: index + 1 is the sequence. */
export class PlainLog {
  readonly records: Uint8Array[] = [genesis]
  readonly #verdicts: Verdict[] = []
  #position = startOfLog(p0, g1)

  get last(): number {
    return this.records.length
  }

  /** C1: stored if and only if the last sequence is `expected`. */
  append(record: Uint8Array, expected: number): boolean {
    if (expected !== this.records.length) return false
    this.records.push(record)
    return true
  }

  /** Records after `after`, as a reader gets them. */
  entries(after: number) {
    return this.records.slice(after).map((record, i) => ({ seq: nextSeq(seq(after), i + 1), record }))
  }

  /** As a reader from the start finds it; `broken` ends it. */
  judged(): { readonly position: LogPosition; readonly verdicts: readonly Verdict[] } {
    while (this.#verdicts.length < this.records.length && this.#verdicts.at(-1)?.kind !== 'broken') {
      const at = nextSeq(seq(this.#verdicts.length))
      const verdict = judge(this.#position, at, this.records[at - 1]!)
      this.#verdicts.push(verdict)
      if (verdict.kind !== 'broken') this.#position = verdict.position
    }
    return { position: this.#position, verdicts: this.#verdicts }
  }
}

/** Judges one record after `position`; anything but `valid` fails. */
export function mustBeValid(position: LogPosition, record: Uint8Array): LogPosition {
  const verdict = judge(position, nextSeq(position.seq), record)
  if (verdict.kind !== 'valid') throw new Error(`${verdict.kind}: ${verdict.reason}`)
  return verdict.position
}

/** After genesis, the claim of epoch 1 by `inc1`. */
export const afterGenesis = mustBeValid(startOfLog(p0, g1), genesis)
export const afterClaim = mustBeValid(afterGenesis, claimAt(afterGenesis))
