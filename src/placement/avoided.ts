/**
 * Which nodes are not to be given which partitions for a while, since they said that they cannot open them (PL4 of leader.ts).
 *
 * B1. A pair is avoided for 2 s at first, and twice as long each time that it is reported again, up to a minute. One that is not reported
 *     again is forgotten after as long again.
 * B2. At most `maxAvoided` pairs are remembered; beyond it the oldest may be tried again.
 */
import { sameNode, type NodeRef, type PartitionId } from '../protocol/ids.ts'

export const maxAvoided = 4_096
const firstBackOffMs = 2_000
const longestBackOffMs = 60_000

interface Pair {
  readonly node: NodeRef
  readonly partition: PartitionId
  readonly backOffMs: number
  readonly untilMs: number
}

export class Avoided {
  /** The oldest first. */
  readonly #pairs = new Map<string, Pair>()

  get count(): number {
    return this.#pairs.size
  }

  add(node: NodeRef, partition: PartitionId, nowMs: number): void {
    const name = `${node.id} ${node.incarnation} ${partition}`
    const former = this.#pairs.get(name)
    const backOffMs = former === undefined ? firstBackOffMs : Math.min(former.backOffMs * 2, longestBackOffMs)
    this.#pairs.delete(name)
    if (this.#pairs.size >= maxAvoided) this.#pairs.delete(this.#pairs.keys().next().value!)
    this.#pairs.set(name, { node, partition, backOffMs, untilMs: nowMs + backOffMs })
  }

  forgetOld(nowMs: number): void {
    for (const [name, { untilMs, backOffMs }] of this.#pairs) {
      if (nowMs >= untilMs + backOffMs) this.#pairs.delete(name)
    }
  }

  /** The partitions that a node is not to be given now, and for how many ms more. */
  of(node: NodeRef, nowMs: number): ReadonlyMap<PartitionId, number> {
    const pairs = [...this.#pairs.values()].filter((pair) => sameNode(pair.node, node) && nowMs < pair.untilMs)
    return new Map(pairs.map(({ partition, untilMs }) => [partition, untilMs - nowMs]))
  }

  /** All may be tried again. */
  forgetAll(): void {
    this.#pairs.clear()
  }
}
