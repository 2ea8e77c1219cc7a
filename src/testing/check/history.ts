/**
 * The history of a run: what clients asked of keys, when, and what they were told. Checkers read nothing else of a run but this, the logs
 * and what watchers saw.
 *
 * H1. Times are those of one clock for all clients, in ms, as fine as it gets. Of two operations the first came *before* the second if it
 *     had returned when the second was not invoked yet. At one and the same time they count as concurrent: a coarse clock makes checks
 *     weaker, never wrong.
 * H2. `failed` says that nothing happened and nothing will. Whatever is less certain is `unknown`: it takes effect at any time from its
 *     invocation on, also after the run's end, or never. An operation whose outcome nobody wrote down is unknown.
 * H3. An operation takes some forty bytes beside its input and output; those of one key can be had, and let go, without a look at others.
 *     What was let go gives its place to operations to come.
 */
import type { ErrorCode } from '../../protocol/errors.ts'

export type Outcome<Output> =
  | { readonly kind: 'ok'; readonly output: Output; readonly returnedMs: number }
  /** `code` for people only. */
  | { readonly kind: 'failed'; readonly code: string }
  | { readonly kind: 'unknown' }

export interface Operation<Input = unknown, Output = unknown> {
  /** Of whoever asked: one at a time, one after the other. For people only. */
  readonly client: string
  readonly key: string
  readonly input: Input
  readonly invokedMs: number
  readonly outcome: Outcome<Output>
}

/** What an error says of the operation that ended with it (H2). A bug may have struck at any time, so `INTERNAL` says nothing. */
export const outcomeOf = (code: ErrorCode): Outcome<never> =>
  code === 'UNKNOWN' || code === 'INTERNAL' ? { kind: 'unknown' } : { kind: 'failed', code }

/** Of an operation in its history, until it is let go. */
export type OperationId = number

const open = 0
const ok = 1
const failed = 2
const unknown = 3

const none = -1
const leastPlaces = 1_024

/** Where the operations of a key are, as a chain in the order of their invocation. */
interface Chain {
  readonly first: number
  last: number
}

export class History<Input = unknown, Output = unknown> {
  /** By key, in the order in which they were first asked of. */
  readonly #chains = new Map<string, Chain>()
  readonly #clients = new Map<string, number>()
  readonly #clientNames: string[] = []
  // One column for each field, and in each a place for each operation.
  #client = new Int32Array(leastPlaces)
  #invokedMs = new Float64Array(leastPlaces)
  #returnedMs = new Float64Array(leastPlaces)
  #state = new Uint8Array(leastPlaces)
  /** The place of the next one of its key, or of the next free one. */
  #next = new Int32Array(leastPlaces)
  readonly #inputs: (Input | undefined)[] = []
  /** Of a failed one its code. */
  readonly #outputs: (Output | string | undefined)[] = []
  #places = 0
  #free = none
  #size = 0

  /** Operations in it. */
  get size(): number {
    return this.#size
  }

  /** Writes down that an operation begins. */
  invoke(client: string, key: string, input: Input, atMs: number): OperationId {
    const id = this.#place()
    this.#client[id] = this.#clientOf(client)
    this.#invokedMs[id] = atMs
    this.#returnedMs[id] = Infinity
    this.#state[id] = open
    this.#next[id] = none
    this.#inputs[id] = input
    this.#outputs[id] = undefined
    this.#size++
    const chain = this.#chains.get(key)
    if (chain === undefined) this.#chains.set(key, { first: id, last: id })
    else {
      this.#next[chain.last] = id
      chain.last = id
    }
    return id
  }

  /** Throws a `RangeError` where it would have returned before it was invoked: the clients' clocks are not one (H1). */
  ok(id: OperationId, output: Output, atMs: number): void {
    if (!(atMs >= this.#invokedMs[id]!)) {
      throw new RangeError(`operation ${id} was invoked at ${this.#invokedMs[id]} and cannot have returned at ${atMs}`)
    }
    this.#end(id, ok)
    this.#outputs[id] = output
    this.#returnedMs[id] = atMs
  }

  failed(id: OperationId, code: string): void {
    this.#end(id, failed)
    this.#outputs[id] = code
  }

  unknown(id: OperationId): void {
    this.#end(id, unknown)
  }

  keys(): IterableIterator<string> {
    return this.#chains.keys()
  }

  /** Those of one key, in the order in which they were written down. */
  of(key: string): readonly Operation<Input, Output>[] {
    return this.#idsOf(key).map((id) => this.#operation(id, key))
  }

  /** The same, and the history forgets them. None of them may be on its way still: throws a `RangeError` then. */
  take(key: string): readonly Operation<Input, Output>[] {
    const ids = this.#idsOf(key)
    const underWay = ids.find((id) => this.#state[id] === open)
    if (underWay !== undefined) throw new RangeError(`operation ${underWay} of ${key} has no outcome yet`)
    const operations = ids.map((id) => this.#operation(id, key))
    for (const id of ids) {
      this.#inputs[id] = this.#outputs[id] = undefined
      this.#state[id] = unknown
      this.#next[id] = this.#free
      this.#free = id
    }
    this.#size -= ids.length
    this.#chains.delete(key)
    return operations
  }

  /** All of them, key by key. */
  *[Symbol.iterator](): IterableIterator<Operation<Input, Output>> {
    for (const [key, chain] of this.#chains) {
      for (let id = chain.first; id !== none; id = this.#next[id]!) yield this.#operation(id, key)
    }
  }

  #idsOf(key: string): number[] {
    const chain = this.#chains.get(key)
    const ids: number[] = []
    for (let id = chain?.first ?? none; id !== none; id = this.#next[id]!) ids.push(id)
    return ids
  }

  #operation(id: number, key: string): Operation<Input, Output> {
    return {
      client: this.#clientNames[this.#client[id]!]!,
      key,
      input: this.#inputs[id] as Input,
      invokedMs: this.#invokedMs[id]!,
      outcome: this.#outcome(id),
    }
  }

  #outcome(id: number): Outcome<Output> {
    switch (this.#state[id]) {
      case ok:
        return { kind: 'ok', output: this.#outputs[id] as Output, returnedMs: this.#returnedMs[id]! }
      case failed:
        return { kind: 'failed', code: this.#outputs[id] as string }
      default:
        return { kind: 'unknown' }
    }
  }

  #end(id: number, state: number): void {
    if (this.#state[id] !== open || id >= this.#places) throw new RangeError(`operation ${id} is not under way`)
    this.#state[id] = state
  }

  #clientOf(name: string): number {
    let client = this.#clients.get(name)
    if (client === undefined) {
      client = this.#clientNames.push(name) - 1
      this.#clients.set(name, client)
    }
    return client
  }

  #place(): number {
    if (this.#free !== none) {
      const id = this.#free
      this.#free = this.#next[id]!
      return id
    }
    if (this.#places === this.#state.length) this.#grow()
    return this.#places++
  }

  #grow(): void {
    const places = this.#places * 2
    const widened = <T extends { set(from: T): void }>(to: T, from: T): T => {
      to.set(from)
      return to
    }
    this.#client = widened(new Int32Array(places), this.#client)
    this.#invokedMs = widened(new Float64Array(places), this.#invokedMs)
    this.#returnedMs = widened(new Float64Array(places), this.#returnedMs)
    this.#state = widened(new Uint8Array(places), this.#state)
    this.#next = widened(new Int32Array(places), this.#next)
  }
}
