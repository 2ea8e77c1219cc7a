/**
 * The steps of the protocol that a node can be in the middle of when something happens to it.
 *
 * E1. A step is under way on the node that does it, from its first effect to the last answer. Most are seen at the node's ports
 *     (taps.ts); the rest follows from what nodes say of themselves, and from the table in the registry (under-way.ts).
 * E2. Whoever waits for a step is told when one may have begun, and asks then whether it is under way.
 */
export const steps = [
  'joining',
  'leaving',
  'renewing a lease',
  'declaring a death',
  'electing',
  'changing the table',
  'asking for a hand-off',
  'opening a store',
  'replaying',
  'claiming',
  'taking over',
  'promoted',
  'waiting out a lease',
  'holding requests',
  'appending',
  'reading back',
  'writing to a store',
  'standing by',
  'moving away',
  'warming up',
  'level for a move',
  'handing off',
  'handed off, not named',
  'repeated request',
  'paging a watch',
] as const

export type Step = (typeof steps)[number]

/** Of one process of a node. */
export class Steps {
  readonly #underWay = new Map<Step, number>()
  /** Of single partitions, as events of the node tell: `claimed`, `trouble`, … */
  readonly #marks = new Set<string>()
  readonly #begun: (step: Step) => void

  constructor(begun: (step: Step) => void) {
    this.#begun = begun
  }

  /** The result ends it; idempotent. */
  begin(step: Step): () => void {
    this.#underWay.set(step, (this.#underWay.get(step) ?? 0) + 1)
    this.#begun(step)
    let open = true
    return () => {
      if (open) this.#underWay.set(step, this.#underWay.get(step)! - 1)
      open = false
    }
  }

  during<T>(step: Step, work: Promise<T>): Promise<T> {
    const end = this.begin(step)
    work.then(end, end)
    return work
  }

  atPorts(): readonly Step[] {
    return steps.filter((step) => (this.#underWay.get(step) ?? 0) > 0)
  }

  mark(what: Step, partition: number): void {
    this.#marks.add(`${what} ${partition}`)
    this.#begun(what)
  }

  unmark(what: Step, partition: number): void {
    this.#marks.delete(`${what} ${partition}`)
  }

  isMarked(what: Step, partition: number): boolean {
    return this.#marks.has(`${what} ${partition}`)
  }
}
