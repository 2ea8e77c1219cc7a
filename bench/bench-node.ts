/** A node of the bench as its starter sees it: how many partitions it serves, and what it has replayed. */
import { join } from 'node:path'
import type { Child } from '../examples/support/child.ts'
import type { NodeMessage } from './node.ts'
import { startScript, type Surroundings } from './surroundings.ts'

/** The default of a new cluster. */
export const partitions = 16

export interface Replayed {
  readonly records: number
  /** Of the records. */
  readonly bytes: number
  /** From the start of the process to the end of its last replay, ms. */
  readonly untilMs: number
}

export interface Restored {
  /** Of the rows. */
  readonly bytes: number
  /** From the start of the process to the end of its last restore, ms. */
  readonly untilMs: number
}

export class BenchNode {
  readonly child: Child<NodeMessage>
  #replayed: Replayed = { records: 0, bytes: 0, untilMs: 0 }
  #restored: Restored = { bytes: 0, untilMs: 0 }
  #tookOver: number[] = []
  #serving = 0
  #onServing = () => {}

  constructor(surroundings: Surroundings, servers: string, cluster: string, name: string, replicas: number) {
    const { folder, troubles } = surroundings
    const args = [servers, cluster, join(folder, name), String(replicas)]
    this.child = startScript<NodeMessage>(surroundings, name, 'node', args)
    this.child.onMessage((message) => {
      if (message.kind === 'trouble') troubles.push(`${name}: ${message.event}`)
      else if (message.kind === 'replayed') {
        const { records, bytes } = this.#replayed
        this.#replayed = {
          records: records + message.records,
          bytes: bytes + message.bytes,
          untilMs: message.atMs,
        }
      } else if (message.kind === 'restored') {
        this.#restored = { bytes: this.#restored.bytes + message.bytes, untilMs: message.atMs }
      } else if (message.kind === 'took-over') this.#tookOver.push(message.partition)
      else {
        this.#serving = message.partitions
        this.#onServing()
      }
    })
  }

  get pid(): number {
    return this.child.pid
  }

  get serving(): number {
    return this.#serving
  }

  /** All its replays so far. */
  get replayed(): Replayed {
    return this.#replayed
  }

  /** All its restores so far. */
  get restored(): Restored {
    return this.#restored
  }

  /** The partitions that it has begun to serve since it was last asked. */
  takeTakenOver(): readonly number[] {
    const tookOver = this.#tookOver
    this.#tookOver = []
    return tookOver
  }

  onServing(run: () => void): void {
    this.#onServing = run
  }
}

/** Resolves when the nodes serve all partitions, none more than its share. */
export async function balanced(nodes: readonly BenchNode[]): Promise<void> {
  const share = Math.ceil(partitions / nodes.length)
  const done = new Promise<void>((resolve) => {
    const look = () => {
      const counts = nodes.map(({ serving }) => serving)
      if (counts.reduce((a, b) => a + b) === partitions && counts.every((count) => count <= share)) resolve()
    }
    for (const node of nodes) node.onServing(look)
    look()
  })
  await Promise.race(nodes.map(({ child }) => child.before(done)))
}
