/**
 * The requests of one session that have no answer yet, by number.
 *
 * N1. Numbers start at 1, grow by 1, and are given once.
 * N2. `low` is the lowest number whose first reply the owners must still keep: of a command or tell that is outstanding, or that ended
 *     `UNKNOWN` and can still be repeated. Queries do not hold it. It never goes back.
 * N3. An `UNKNOWN` number is kept until its repeat term is over; the oldest go earlier when there are too many or when they alone
 *     would hold `low` too far back. From then on repeating it is refused here, since the owners may have forgotten it.
 * N4. Requests outstanding are at most `limit`, and their inputs have at most `byteLimit` bytes; the span of numbers that owners must
 *     remember is at most `spanLimit`. At each bound there is no room for another. Nobody holds the input of one that is settled.
 */
import { NumberMap } from '../core/number-map.ts'
import { gauge, type Metric } from '../ports/metrics.ts'
import type { RequestKind } from '../protocol/frames.ts'
import { repeatTermMs, type Pending } from './pending.ts'

/** Requests outstanding, default; and bytes of their inputs. */
export const defaultOutstanding = 65_536
export const defaultOutstandingBytes = 256 * 1_024 * 1_024

const spanLimit = 1_048_576

export class Outstanding {
  readonly #limit: number
  readonly #byteLimit: number
  /** Commands and tells. */
  readonly #commands = new NumberMap<Pending>()
  readonly #queries = new NumberMap<Pending>()
  /** Commands of other sessions, by the text of their id. */
  readonly #foreign = new Map<string, Pending>()
  /** When the first attempt of each `UNKNOWN` number was sent (N3). */
  readonly #unknown = new Map<number, number>()
  #bytes = 0
  #next = 1
  #low = 1

  constructor(limit: number, byteLimit = defaultOutstandingBytes) {
    this.#limit = limit
    this.#byteLimit = byteLimit
  }

  metrics(): readonly Metric[] {
    return [
      gauge('holdfast_client_requests', this.size, this.#limit),
      gauge('holdfast_client_request_bytes', this.#bytes, this.#byteLimit),
      gauge('holdfast_client_unknown_commands', this.#unknown.size, this.#limit),
      gauge('holdfast_client_number_span', this.#next - this.#low, spanLimit),
    ]
  }

  get size(): number {
    return this.#commands.size + this.#queries.size + this.#foreign.size
  }

  /** Whether one more request of this kind may begin (N4). */
  hasRoom(kind: RequestKind, bytes = 0): boolean {
    return (
      this.size < this.#limit &&
      this.#bytes + bytes <= this.#byteLimit &&
      (kind === 'query' || this.#next - this.#low < spanLimit || this.#next - this.low() < spanLimit)
    )
  }

  /** How many more may begin, as far as their number goes (N4). */
  get room(): number {
    return this.#limit - this.size
  }

  /** A number that nobody had (N1). */
  number(): number {
    return this.#next++
  }

  /** N2, N3. */
  low(nowMs = Number.NEGATIVE_INFINITY): number {
    while (this.#low < this.#next && !this.#commands.has(this.#low)) {
      const sentMs = this.#unknown.get(this.#low)
      if (sentMs !== undefined && nowMs - sentMs <= repeatTermMs && this.#next - this.#low < spanLimit / 2) break
      this.#unknown.delete(this.#low++)
    }
    return this.#low
  }

  add(pending: Pending): void {
    this.#bytes += pending.input.length
    if (pending.kind === 'query') this.#queries.set(pending.number, pending)
    else this.#commands.set(pending.number, pending)
  }

  addForeign(id: string, pending: Pending): void {
    this.#bytes += pending.input.length
    this.#foreign.set(id, pending)
  }

  get(number: number): Pending | undefined {
    return this.#commands.get(number) ?? this.#queries.get(number)
  }

  getForeign(id: string): Pending | undefined {
    return this.#foreign.get(id)
  }

  remove(pending: Pending): void {
    const found = pending.kind === 'query' ? this.#queries : this.#commands
    if (found.delete(pending.number)) this.#bytes -= pending.input.length
  }

  removeForeign(id: string, pending: Pending): void {
    if (this.#foreign.delete(id)) this.#bytes -= pending.input.length
  }

  /** Keeps the number of a command that has ended `UNKNOWN`, so that it can be repeated (N3). */
  keep(number: number, firstSentMs: number): void {
    if (this.#unknown.size >= this.#limit) {
      const [oldest] = this.#unknown.keys()
      this.#unknown.delete(oldest!)
    }
    this.#unknown.set(number, firstSentMs)
  }

  /** Takes it back for a repetition: when its first attempt was sent, or `undefined` where it must not be repeated any more. */
  takeKept(number: number, nowMs: number): number | undefined {
    const sentMs = this.#unknown.get(number)
    this.#unknown.delete(number)
    return sentMs !== undefined && nowMs - sentMs <= repeatTermMs ? sentMs : undefined
  }

  /** All that is outstanding, commands before queries, by the order of their numbers. What is removed meanwhile is left out. */
  *all(): Iterable<Pending> {
    for (const requests of [this.#commands, this.#queries]) {
      for (const number of [...requests.keys()].sort((a, b) => a - b)) {
        const pending = requests.get(number)
        if (pending !== undefined) yield pending
      }
    }
    yield* this.#foreign.values()
  }

  /** All that is outstanding now, in no order. */
  now(): readonly Pending[] {
    return [...this.#commands.values(), ...this.#queries.values(), ...this.#foreign.values()]
  }
}
