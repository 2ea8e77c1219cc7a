/**
 * The search for an order of operations that a model allows: that of linearizable.ts, with what it leaves out.
 *
 * W3. An idle operation that is possible now, like a read, is placed at once and nothing else is tried in its stead: wherever an order has it,
 *     it may as well be here. A configuration in which one of those that come next is missed for ever is given up.
 * W4. Of operations of one kind the one that returns first is placed first, of unknown ones the one that was invoked first. Wherever an order
 *     has another of them before it, the two can change places.
 * W5. An unknown operation is not placed where it leaves the state as it is, nor right after another one without which it would lead to the
 *     same state: an order without the idle one is as good, and has fewer of them.
 * W6. Where the model says that unknown operations wait, a row of them is only placed right before an operation that was not possible before
 *     the row, which for that is a part of the configuration. Of all orders take one that has the fewest unknown operations, and these as
 *     late as can be: if what follows a row was possible before it, then by the promise of the model it could come first.
 *     W5 and W6 cut by the way to a configuration, of which only the first is ever gone on from. Nothing is lost by that: where an order goes
 *     on from a later way, and the first was cut, there is an order with fewer unknown operations, and it is found by induction.
 */
import { ConfigurationSet, Multisets } from './configurations.ts'
import { explain } from './explanation.ts'
import type { Operation, Outcome } from './history.ts'
import type { Model } from './model.ts'

export const outputOf = <Output>(outcome: Outcome<Output>): Output | undefined =>
  outcome.kind === 'ok' ? outcome.output : undefined

export const returnOf = ({ outcome }: Operation): number => (outcome.kind === 'ok' ? outcome.returnedMs : Infinity)

/** How far a search came. */
export interface Found<Input, Output> {
  readonly kind: 'ok' | 'violation' | 'undecided'
  readonly steps: number
  readonly order: readonly Operation<Input, Output>[]
  /** What could have been next, the one first that was to return first. */
  readonly next: readonly Operation<Input, Output>[]
  readonly explain: (next: readonly Operation<Input, Output>[]) => string
}

/** Unknown operations that do the same, in the order of their invocation, which is that of their use (W4). */
interface Kind<Input, Output> {
  readonly operations: readonly Operation<Input, Output>[]
  used: number
}

/** A configuration on the way, and what is left to try in it. States and sets go by number. */
interface Place {
  /** What was placed last: the index of one that returned, or −1 − that of a kind. */
  readonly move: number
  /** F1. Whether the move has filled a hole. */
  readonly filled: boolean
  readonly high: number
  readonly used: number
  readonly state: number
  /** W6: the state before the row of unknown operations that the way ends with. */
  readonly base: number
  /** W5: the state before the last of that row. */
  readonly before: number
  readonly trace: number
  /** Of those that returned, how many are placed. */
  readonly count: number
  /** What was invoked later cannot be next: one that is not placed returned before. */
  readonly limitMs: number
  /** W3: nothing else is tried. `nothing`: nor this. */
  readonly only: number
  /** The candidate that is being tried, of those that returned; after these, the kind; and which of the states that it leads to. */
  candidate: number
  kind: number
  branch: number
}

type Move = Pick<Place, 'move' | 'filled' | 'high' | 'used' | 'state' | 'base' | 'before' | 'trace' | 'count'>

const none = -1
const nothing = -2

export class Search<State, Input, Output> {
  readonly #model: Model<State, Input, Output>
  readonly #maxSteps: number
  /** In the order of their invocation. */
  readonly #returned: readonly Operation<Input, Output>[]
  readonly #invokedMs: Float64Array
  readonly #returnedMs: Float64Array
  readonly #outputs: readonly (Output | undefined)[]
  readonly #idle: readonly boolean[]
  /** The kind of each, by number. */
  readonly #kindNumbers: Int32Array
  /** In the order of the invocation of the first of each. */
  readonly #kinds: readonly Kind<Input, Output>[]
  /** Kinds that are not used up, a ring of links; its beginning and end is behind the last kind. */
  readonly #following: Int32Array
  readonly #preceding: Int32Array
  readonly #states: State[] = []
  readonly #stateIds = new Map<string | number, number>()
  readonly #sets = new Multisets()
  readonly #seen = new ConfigurationSet()
  /** F1, in ascending order. */
  readonly #holes: number[] = []
  /** Every move that was made, and the one before it, so that any way can be told. */
  readonly #moves: number[] = [none]
  readonly #earlier: number[] = [none]
  #steps = 0
  #furthest: Place | undefined

  constructor(operations: readonly Operation<Input, Output>[], model: Model<State, Input, Output>, maxSteps: number) {
    this.#model = model
    this.#maxSteps = maxSteps
    const ordered = [...operations].sort((a, b) => a.invokedMs - b.invokedMs || returnOf(a) - returnOf(b))
    this.#returned = ordered.filter(({ outcome }) => outcome.kind === 'ok')
    this.#invokedMs = Float64Array.from(this.#returned, ({ invokedMs }) => invokedMs)
    this.#returnedMs = Float64Array.from(this.#returned, returnOf)
    this.#outputs = this.#returned.map(({ outcome }) => outputOf(outcome))
    this.#idle = this.#returned.map(({ input }, i) => model.idle(input, this.#outputs[i]))
    const numbers = new Map<string | number, number>()
    this.#kindNumbers = Int32Array.from(this.#returned, ({ input }, i) => {
      const kind = model.kind(input, this.#outputs[i])
      if (!numbers.has(kind)) numbers.set(kind, numbers.size)
      return numbers.get(kind)!
    })
    this.#kinds = kindsOf(ordered, model)
    const end = this.#kinds.length
    this.#following = Int32Array.from({ length: end + 1 }, (_, i) => (i === end ? 0 : i + 1))
    this.#preceding = Int32Array.from({ length: end + 1 }, (_, i) => (i === 0 ? end : i - 1))
  }

  run(): Found<Input, Output> {
    const state = this.#idOf(this.#model.initial)
    const start = { move: none, filled: false, high: -1, used: Multisets.empty, state, base: none, before: none }
    const way = [this.#arrive({ ...start, trace: 0, count: 0 })]
    for (let place = way[0]; place !== undefined; place = way.at(-1)) {
      if (place.count === this.#returned.length) return this.#found('ok', place)
      if (this.#steps > this.#maxSteps) return this.#found('undecided', this.#furthest!)
      const next = this.#next(place)
      if (next !== undefined) way.push(next)
      else {
        way.pop()
        const before = way.at(-1)
        if (before !== undefined) this.#takeBack(place, before.high)
      }
    }
    return this.#found('violation', this.#furthest!)
  }

  /** Places what is next, so that the configuration is new; `undefined`: there is nothing left to try here. */
  #next(place: Place): Place | undefined {
    if (place.only === nothing) return undefined
    if (place.only !== none) {
      return this.#tryEach(place, place.only, this.#afterReturned(place, place.only))
    }
    for (;;) {
      const index = this.#candidate(place.high, place.limitMs, place.candidate)
      if (index === none) break
      const states = this.#hasUrgent(place, index) ? [] : this.#afterReturned(place, index)
      const next = this.#tryEach(place, index, states)
      if (next !== undefined) return next
      place.candidate++
    }
    // Of kinds as many as begin in time.
    for (; place.kind < this.#kinds.length; place.kind = this.#following[place.kind]!) {
      const { operations, used } = this.#kinds[place.kind]!
      if (operations[0]!.invokedMs > place.limitMs) break
      if (operations[used]!.invokedMs > place.limitMs) continue
      const next = this.#tryEach(place, -1 - place.kind, this.#afterUnknown(place, operations[used]!))
      if (next !== undefined) return next
    }
    return undefined
  }

  #tryEach(place: Place, move: number, states: readonly number[]): Place | undefined {
    while (place.branch < states.length) {
      const next = this.#place(place, move, states[place.branch++]!)
      if (next !== undefined) return next
    }
    place.branch = 0
    return undefined
  }

  /** The nth of those that returned and can be next: the holes, and what was invoked in time after the last. `none`: there are not so many. */
  #candidate(high: number, limitMs: number, nth: number): number {
    const holes = this.#holes
    if (nth < holes.length) return holes[nth]!
    const index = high + 1 + nth - holes.length
    return index < this.#returned.length && this.#invokedMs[index]! <= limitMs ? index : none
  }

  /** W4: whether another one of its kind returns before it, or at the same time and comes first. */
  #hasUrgent({ high, limitMs }: Place, index: number): boolean {
    const kind = this.#kindNumbers[index]!
    const returnedMs = this.#returnedMs[index]!
    for (let nth = 0, other; (other = this.#candidate(high, limitMs, nth)) !== none; nth++) {
      if (this.#kindNumbers[other] !== kind || other === index) continue
      if (this.#returnedMs[other]! < returnedMs || (this.#returnedMs[other] === returnedMs && other < index))
        return true
    }
    return false
  }

  /** Where one that returned leads to. */
  #afterReturned({ state, base }: Pick<Place, 'state' | 'base'>, index: number): readonly number[] {
    const { input } = this.#returned[index]!
    const output = this.#outputs[index]
    const states = this.#step(state, input, output)
    return base !== none && states.length > 0 && this.#step(base, input, output).length > 0 ? [] : states
  }

  /** Where an unknown one leads to (W5). */
  #afterUnknown({ state, before }: Place, { input }: Operation<Input, Output>): readonly number[] {
    const states = this.#step(state, input, undefined).filter((id) => id !== state)
    if (before === none || states.length === 0) return states
    const without = this.#step(before, input, undefined)
    return states.filter((id) => !without.includes(id))
  }

  #step(state: number, input: Input, output: Output | undefined): readonly number[] {
    this.#steps++
    return this.#model.step(this.#states[state]!, input, output).map((next) => this.#idOf(next))
  }

  #idOf(state: State): number {
    const key = this.#model.key(state)
    let id = this.#stateIds.get(key)
    if (id === undefined) {
      id = this.#states.push(state) - 1
      this.#stateIds.set(key, id)
    }
    return id
  }

  // -- there and back

  /** `undefined`: that configuration was gone on from before. */
  #place(place: Place, move: number, state: number): Place | undefined {
    const returned = move >= 0
    const { base, used } = place
    const made = {
      move,
      filled: returned && move < place.high,
      high: Math.max(place.high, move),
      used: returned ? used : this.#sets.with(used, -1 - move),
      state,
      base: returned || !this.#model.unknownsWait ? none : base === none ? place.state : base,
      before: returned ? none : place.state,
    }
    if (!returned) this.#use(-1 - move)
    else if (made.filled) this.#holes.splice(this.#holes.indexOf(move), 1)
    else for (let hole = place.high + 1; hole < move; hole++) this.#holes.push(hole)
    if (!this.#seen.add([made.high, made.used, state, made.base], this.#holes)) {
      this.#takeBack(made, place.high)
      return undefined
    }
    const trace = this.#moves.push(move) - 1
    this.#earlier.push(place.trace)
    return this.#arrive({ ...made, trace, count: place.count + (returned ? 1 : 0) })
  }

  #takeBack({ move, filled }: Pick<Place, 'move' | 'filled'>, high: number): void {
    const holes = this.#holes
    if (move < 0) this.#giveBack(-1 - move)
    else if (filled) {
      const at = holes.findIndex((hole) => hole > move)
      holes.splice(at < 0 ? holes.length : at, 0, move)
    } else while (holes.length > 0 && holes.at(-1)! > high) holes.pop()
  }

  #use(index: number): void {
    const kind = this.#kinds[index]!
    if (++kind.used < kind.operations.length) return
    this.#following[this.#preceding[index]!] = this.#following[index]!
    this.#preceding[this.#following[index]!] = this.#preceding[index]!
  }

  #giveBack(index: number): void {
    const kind = this.#kinds[index]!
    if (kind.used-- < kind.operations.length) return
    this.#following[this.#preceding[index]!] = index
    this.#preceding[this.#following[index]!] = index
  }

  /** Looks around: what can be next, and whether one of these goes without saying (W3). */
  #arrive(move: Move): Place {
    let limitMs = Infinity
    for (let nth = 0, index; (index = this.#candidate(move.high, limitMs, nth)) !== none; nth++) {
      limitMs = Math.min(limitMs, this.#returnedMs[index]!)
    }
    const only = this.#onlyOf(move, limitMs)
    const place: Place = { ...move, limitMs, only, candidate: 0, kind: this.#following[this.#kinds.length]!, branch: 0 }
    const best = this.#furthest
    if (best === undefined || limitMs > best.limitMs || (limitMs === best.limitMs && move.count > best.count)) {
      this.#furthest = place
    }
    return place
  }

  #onlyOf(move: Move, limitMs: number): number {
    const state = this.#states[move.state]!
    let only = none
    for (let nth = 0, index; (index = this.#candidate(move.high, limitMs, nth)) !== none; nth++) {
      if (this.#model.missed(state, this.#returned[index]!.input, this.#outputs[index])) return nothing
      if (only === none && this.#idle[index] && this.#afterReturned(move, index).length > 0) only = index
    }
    return only
  }

  // -- what is told

  #found(kind: Found<Input, Output>['kind'], { trace, state, limitMs }: Place): Found<Input, Output> {
    const order = this.#orderOf(trace)
    const placed = new Set(order)
    const next = this.#returned
      .filter((operation) => operation.invokedMs <= limitMs && !placed.has(operation))
      .sort((a, b) => returnOf(a) - returnOf(b))
    const model = this.#model
    return {
      kind,
      steps: this.#steps,
      order,
      next,
      explain: (next) => explain(model, order, this.#states[state]!, next),
    }
  }

  #orderOf(trace: number): readonly Operation<Input, Output>[] {
    const moves: number[] = []
    for (let at = trace; at !== 0; at = this.#earlier[at]!) moves.push(this.#moves[at]!)
    const used = this.#kinds.map(() => 0)
    return moves
      .toReversed()
      .map((move) => (move >= 0 ? this.#returned[move]! : this.#kinds[-1 - move]!.operations[used[-1 - move]!++]!))
  }
}

function kindsOf<State, Input, Output>(
  ordered: readonly Operation<Input, Output>[],
  model: Model<State, Input, Output>,
): readonly Kind<Input, Output>[] {
  const kinds = new Map<string | number, Operation<Input, Output>[]>()
  for (const operation of ordered) {
    if (operation.outcome.kind !== 'unknown' || model.idle(operation.input, undefined)) continue
    const kind = model.kind(operation.input, undefined)
    const alike = kinds.get(kind)
    if (alike === undefined) kinds.set(kind, [operation])
    else alike.push(operation)
  }
  return [...kinds.values()].map((operations) => ({ operations, used: 0 }))
}
