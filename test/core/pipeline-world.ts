/**
 * An owner's pipeline over a network that does whatever C1–C3 allow, and more: appends are lost, late, out of order and delivered
 * twice; answers are lost, late and out of order; a rival claims whenever it likes. Each act is one step of a script.
 *
 * Whatever the pipeline reports is checked at once against the log (`#report`).
 */
import { expect } from 'vitest'
import type { LogPosition } from '../../src/core/log.ts'
import { Pipeline, type Committed, type Ticket } from '../../src/core/pipeline.ts'
import { seq, type Seq } from '../../src/protocol/ids.ts'
import type { AppendResult } from '../../src/protocol/log.ts'
import { decodeRecord } from '../../src/protocol/record.ts'
import { afterGenesis, claimAt, commitAt, mustBeValid, PlainLog } from './records.ts'

/** One sending of one record: the bytes on their way out, then the answer on its way back. */
interface Sending {
  readonly bytes: Uint8Array
  readonly ticket: Ticket
  answer: AppendResult | undefined
}

interface WithBytes {
  readonly bytes: Uint8Array
}

/** Not only equal: the very same bytes in memory, in order. */
export const areTheSame = (a: readonly WithBytes[], b: readonly WithBytes[]): boolean =>
  a.length === b.length && a.every(({ bytes }, i) => bytes === b[i]!.bytes)

const lost: AppendResult = { kind: 'unknown', reason: 'no acknowledgement' }
const window = 4

export class PipelineWorld {
  readonly log = new PlainLog()
  readonly pipeline: Pipeline<string>
  /** In order, as they were pushed. */
  readonly pushed: { readonly item: string; readonly bytes: Uint8Array }[] = []
  readonly reported: Committed<string>[] = []
  fencedBy: LogPosition | undefined
  resent = 0
  voids = 0
  /** In the order of the calls (C2). */
  #outbound: Sending[] = []
  /** Taken out of that order: they arrive some time, or never. */
  #late: Sending[] = []
  #arrived: Sending[] = []
  /** Whose answer has not reached the owner. */
  #unanswered: Sending[] = []
  #reading: Seq | undefined
  #rival: LogPosition | undefined
  #clock = 0

  constructor() {
    const claim = claimAt(afterGenesis, { incarnation: 'owner' })
    this.log.append(claim, 1)
    this.pipeline = new Pipeline(mustBeValid(afterGenesis, claim))
  }

  get over(): boolean {
    return this.fencedBy !== undefined
  }

  push(): void {
    if (this.over || this.pipeline.inTrouble || this.pipeline.inFlight >= window) return
    const time = ++this.#clock
    const item = `turn ${time}`
    const { position, link } = this.pipeline
    const bytes = commitAt(position, item, { prev: link, time, published: position.published })
    this.pushed.push({ item, bytes })
    const ticket = this.pipeline.push(bytes, decodeRecord(bytes), time, item)
    this.#send({ bytes, ticket, answer: undefined })
  }

  /** The first append on the way arrives. */
  deliver(): void {
    const first = this.#outbound.shift()
    if (first !== undefined) this.#arrive(first)
  }

  lose(): void {
    const first = this.#outbound.shift()
    if (first !== undefined) first.answer = lost
  }

  delay(): void {
    const first = this.#outbound.shift()
    if (first !== undefined) this.#late.push(first)
  }

  late(pick: number): void {
    const [sending] = this.#late.splice(pick % (this.#late.length || 1), 1)
    if (sending !== undefined) this.#arrive(sending)
  }

  /** The network delivers a second time what has arrived already; nobody hears of that answer. */
  repeat(pick: number): void {
    const sending = this.#arrived[pick % (this.#arrived.length || 1)]
    if (sending !== undefined) this.log.append(sending.bytes, sending.ticket.expected)
  }

  /** One of the answers under way reaches the owner; a sending that is late may time out instead. */
  answer(pick: number): void {
    const sending = this.#take(pick)
    if (sending !== undefined) this.#settle(sending.ticket, sending.answer ?? lost)
  }

  loseAnswer(pick: number): void {
    const sending = this.#take(pick)
    if (sending !== undefined) this.#settle(sending.ticket, lost)
  }

  /** An acknowledgement that cannot be relied on (L5). */
  oddAnswer(pick: number): void {
    const sending = this.#take(pick)
    if (sending === undefined) return
    const { ticket, answer = lost } = sending
    if (answer.kind !== 'accepted') return this.#settle(ticket, answer)
    const odd = pick % 2 === 0 ? { duplicate: true } : { seq: seq(answer.seq + 1) }
    this.#settle(ticket, { ...answer, ...odd })
  }

  /** As after a reconnect (L4). */
  suspect(): void {
    if (!this.over) this.pipeline.suspect()
  }

  /** Asks the leader where the log ends … */
  beginReading(): void {
    if (!this.over && this.pipeline.inTrouble) this.#reading ??= seq(this.log.last)
  }

  /** … and reads up to there, whatever was appended since. */
  finishReading(): void {
    if (this.#reading === undefined) return
    const entries = this.log.entries(this.pipeline.position.seq).filter((entry) => entry.seq <= this.#reading!)
    this.#reading = undefined
    const recovery = this.pipeline.recover(entries)
    this.#report(recovery.committed)
    this.voids += recovery.voids.length
    for (const at of recovery.voids) expect(this.#verdictAt(at)).toBe('void')
    if (recovery.kind === 'broken') throw new Error(recovery.reason)
    if (recovery.kind === 'fenced') {
      this.fencedBy = recovery.by
      return
    }
    expect(this.pipeline.inTrouble).toBe(false)
    const remaining = this.pushed.slice(this.reported.length)
    expect(areTheSame(recovery.resend, remaining)).toBe(true)
    this.resent += recovery.resend.length
    for (const { bytes, ticket } of recovery.resend) this.#send({ bytes, ticket, answer: undefined })
  }

  /** An append of a former owner, late, whose number happens to fit (L3). */
  stray(): void {
    const { position } = this.log.judged()
    this.log.append(commitAt(position, `stray ${++this.#clock}`, { epoch: 0, incarnation: 'former' }), this.log.last)
  }

  /** Another node takes over. */
  claim(): void {
    const { position } = this.log.judged()
    this.log.append(claimAt(position, { incarnation: `rival${position.epoch}` }), position.seq)
    this.#rival = this.log.judged().position
  }

  rivalCommit(): void {
    if (this.#rival === undefined) return
    const { position } = this.log.judged()
    this.log.append(commitAt(position, `rival's ${++this.#clock}`), position.seq)
  }

  /** Everything arrives, in the end, and the owner does what it has to until nothing is in flight or it is fenced. */
  settleDown(): void {
    for (let round = 0; !this.over && (this.pipeline.inFlight > 0 || this.pipeline.inTrouble); round++) {
      expect(round).toBeLessThan(50)
      while (this.#outbound.length > 0) this.deliver()
      while (this.#unanswered.length > 0) this.answer(0)
      this.beginReading()
      this.finishReading()
    }
    while (this.#outbound.length > 0) this.deliver()
    while (this.#late.length > 0) this.late(0)
    for (const sending of [...this.#arrived]) this.log.append(sending.bytes, sending.ticket.expected)
  }

  /** The owner's commits that every reader of the log finds valid. */
  validCommits(): WithBytes[] {
    const { verdicts } = this.log.judged()
    expect(verdicts.map((verdict) => verdict.kind)).not.toContain('broken')
    return this.log.records.flatMap((bytes, i) => {
      const verdict = verdicts[i]!
      const own = verdict.kind === 'valid' && verdict.record.kind === 'commit' && verdict.record.incarnation === 'owner'
      return own ? [{ bytes }] : []
    })
  }

  /** Of a reader who has come to this record. */
  positionAt(at: Seq): LogPosition {
    const verdict = this.log.judged().verdicts[at - 1]!
    if (verdict.kind === 'broken') throw new Error(verdict.reason)
    return verdict.position
  }

  #send(sending: Sending): void {
    this.#outbound.push(sending)
    this.#unanswered.push(sending)
  }

  #arrive(sending: Sending): void {
    const accepted = this.log.append(sending.bytes, sending.ticket.expected)
    this.#arrived.push(sending)
    sending.answer = accepted
      ? { kind: 'accepted', seq: seq(this.log.last), duplicate: false }
      : { kind: 'refused', reason: `the last sequence is ${this.log.last}` }
  }

  #take(pick: number): Sending | undefined {
    return this.#unanswered.splice(pick % (this.#unanswered.length || 1), 1)[0]
  }

  #settle(ticket: Ticket, answer: AppendResult): void {
    if (this.over) return
    const outcome = this.pipeline.settle(ticket, answer)
    if (outcome === 'trouble') expect(this.pipeline.inTrouble).toBe(true)
    else if (outcome !== 'stale') this.#report(outcome)
  }

  /** P2: what is reported is in the log, valid, at that sequence, with the bytes that were pushed; in order, once. */
  #report(committed: readonly Committed<string>[]): void {
    expect(this.over).toBe(false)
    for (const record of committed) {
      const { item, bytes } = this.pushed[this.reported.length]!
      expect(record.item).toBe(item)
      expect(record.bytes).toBe(bytes)
      expect(this.log.records[record.seq - 1]).toBe(bytes)
      expect(this.#verdictAt(record.seq)).toBe('valid')
      expect(record.seq).toBeGreaterThan(this.reported.at(-1)?.seq ?? 2)
      expect(`turn ${record.sentAtMs}`).toBe(item)
      this.reported.push(record)
    }
    expect(this.pipeline.position).toEqual(this.positionAt(this.pipeline.position.seq))
  }

  #verdictAt(at: Seq): string | undefined {
    return this.log.judged().verdicts[at - 1]?.kind
  }
}
