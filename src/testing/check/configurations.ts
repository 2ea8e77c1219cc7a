/**
 * Which configurations a search has been in, exactly, in little memory.
 *
 * F1. The operations that were placed are all up to the one invoked last, `high`, but for the *holes*: those that were not. A hole was under
 *     way when `high` was invoked, as otherwise that would have had to wait for it. So there are never more holes than clients at work at
 *     one time, and a configuration takes a few words however long the history is.
 * F2. A set of configurations has no false members: words are compared, the hash only says where to look.
 */
const leastWords = 1_024
/** Of a slot that is free. */
const none = -1

export class ConfigurationSet {
  /** Of each configuration how many words follow, and these. */
  #words = new Int32Array(leastWords)
  #end = 0
  /** Open addressing, at most half full: where in `#words`. */
  #slots = new Int32Array(leastWords).fill(none)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** `false`: it was there already. Words are integers of 32 bits. */
  add(head: readonly [number, number, number, number], holes: readonly number[]): boolean {
    const length = head.length + holes.length
    const begin = this.#end
    if (begin + 1 + length > this.#words.length) {
      const more = new Int32Array(this.#words.length * 2 + length)
      more.set(this.#words)
      this.#words = more
    }
    const words = this.#words
    words[begin] = length
    for (let i = 0; i < head.length; i++) words[begin + 1 + i] = head[i]!
    for (let i = 0; i < holes.length; i++) words[begin + 1 + head.length + i] = holes[i]!
    const slot = this.#slotOf(begin)
    if (this.#slots[slot] !== none) return false
    this.#slots[slot] = begin
    this.#end = begin + 1 + length
    if (++this.#size * 2 > this.#slots.length) this.#spread()
    return true
  }

  /** Where the configuration at `begin` is, or is to be. */
  #slotOf(begin: number): number {
    const words = this.#words
    const mask = this.#slots.length - 1
    const end = begin + 1 + words[begin]!
    let hash = 0
    for (let i = begin; i < end; i++) {
      hash = Math.imul(hash ^ words[i]!, 0x9e3779b1)
      hash ^= hash >>> 15
    }
    let slot = hash & mask
    for (; this.#slots[slot] !== none; slot = (slot + 1) & mask) {
      const other = this.#slots[slot]!
      let same = 0
      while (begin + same < end && words[begin + same] === words[other + same]) same++
      if (begin + same === end) break
    }
    return slot
  }

  #spread(): void {
    this.#slots = new Int32Array(this.#slots.length * 2).fill(none)
    for (let at = 0; at < this.#end; at += 1 + this.#words[at]!) this.#slots[this.#slotOf(at)] = at
  }
}

/**
 * Multisets of small numbers, each by one number of its own: two are the same multiset if and only if their numbers are the same. A multiset
 * is a way in a tree: its members in ascending order.
 */
export class Multisets {
  static readonly empty = 0
  readonly #parents = [Multisets.empty]
  readonly #members = [-1]
  readonly #children: (Map<number, number> | undefined)[] = [undefined]

  /** The multiset with one member more. */
  with(set: number, member: number): number {
    // What is greater comes off, and on again behind it: what is added last is mostly the greatest.
    const greater: number[] = []
    while (this.#members[set]! > member) {
      greater.push(this.#members[set]!)
      set = this.#parents[set]!
    }
    set = this.#child(set, member)
    while (greater.length > 0) set = this.#child(set, greater.pop()!)
    return set
  }

  #child(set: number, member: number): number {
    const children = (this.#children[set] ??= new Map<number, number>())
    let child = children.get(member)
    if (child === undefined) {
      child = this.#parents.push(set) - 1
      this.#members.push(member)
      this.#children.push(undefined)
      children.set(member, child)
    }
    return child
  }
}
