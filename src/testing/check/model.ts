/** What a key is to do by its specification, one operation after the other. A checker asks whether a history of clients that overlap can be that. */

export interface Model<State, Input, Output> {
  readonly initial: State
  /**
   * The states that a key may be in after an operation in `state`; none where `output` cannot come of it. `output: undefined`: nobody
   * knows what came of it, so any may. A pure function; states are never changed.
   */
  step(state: State, input: Input, output: Output | undefined): readonly State[]
  /** The same for two states if and only if all that can follow is the same. */
  key(state: State): string | number
  /**
   * Whether an operation with this output changes nothing for others, like a read: wherever it is possible, all that can come before it
   * can come after it, with the same end.
   */
  idle(input: Input, output: Output | undefined): boolean
  /** Whether an operation with this output is not possible in `state`, nor ever after. `false` where nobody can say. */
  missed(state: State, input: Input, output: Output | undefined): boolean
  /** The same for two operations only if, with these outputs, they do the same in every state. */
  kind(input: Input, output: Output | undefined): string | number
  /**
   * An unknown operation needs to be tried only where one whose output is known cannot go on without it. This holds if, for every state s,
   * row U of unknown operations and operation d with its output: where d is possible in s, and also after U, then the state after U and d
   * comes of d first and then all or some of U in any order. What is gained is much: without it each of n unknown operations may be
   * anywhere, which makes 2^n sets of them.
   */
  readonly unknownsWait: boolean
  /** As people read it, like `write 3` or `read = 3`. */
  show(input: Input, output: Output | undefined): string
  showState(state: State): string
}

/**
 * Makes the model for one key. A model may look at all operations of the key first: what some operation saw, later ones included, tells
 * which states there can have been, and which differences nobody ever saw.
 */
export type ModelOf<State, Input, Output> = (operations: readonly Asked<Input, Output>[]) => Model<State, Input, Output>

/** What a model may look at. */
export interface Asked<Input, Output> {
  readonly input: Input
  /** `undefined`: unknown. */
  readonly output: Output | undefined
}
