/** What can be done to a cluster, and what it takes. */
import type { HoldfastEvent } from '../../src/index.ts'
import type { Need } from './needs.ts'
import type { Place } from './places.ts'
import type { World } from './world.ts'

export interface Fault {
  readonly name: string
  /** What is done, in a sentence of the page. */
  readonly what: string
  /** Strikes of a whole campaign. */
  readonly count: number
  /** How many work at once around its strikes. Default 2,048, which is more than two processors have time for. */
  readonly callers?: number
  /** NATS servers; of three each log has three replicas. */
  readonly servers: 1 | 3
  /** Without these it is not possible, and said to be so. */
  readonly needs?: readonly Need[]
  /** Where nodes and servers of its worlds run, if not as plain processes on a disk. */
  readonly place?: (folder: string) => Promise<Place>
  /** What nodes may say under this fault and never otherwise. */
  readonly allows?: readonly HoldfastEvent['type'][]
  /** Before the first strike of a world. */
  readonly prepare?: (world: World) => Promise<void>
  /** Default 10. */
  readonly strikesPerWorld?: number
  /** Default: every log is read from its first record to its end. */
  readonly auditsLogs?: false
  /** The load goes on. `n` counts the strikes of the whole campaign, from 0. */
  strike(world: World, n: number): Promise<Wound>
}

/** What a strike has done. */
export interface Wound {
  /** Partitions that it takes something from: how long these give no answer is measured. */
  readonly partitions: readonly number[]
  /** Before it the wound stays open for so long, ms. Default: until every partition in it has answered. */
  readonly openMs?: number
  /** Asked when it is healed: the name of what was hit, to be counted. */
  readonly hit?: () => string
  /** Undoes it. */
  heal(): Promise<void>
}
