/** What the demonstration needs of a cluster, embedded or on NATS: nodes to crash and to add, a client, a watcher. */
import type { Holdfast } from '../../src/index.ts'
import type { WatchReport } from './watch-report.ts'

export interface DemoCluster {
  readonly client: Holdfast
  readonly watcher: Watcher
  /** Partitions that each living node serves, by node. */
  owned(): ReadonlyMap<string, number>
  start(node: string): Promise<void>
  /** Without a word to anybody. */
  crash(node: string): Promise<void>
  /** What happened that nobody asked for, a sentence each. */
  readonly troubles: readonly string[]
}

export interface Watcher {
  /** Changes taken so far. */
  readonly taken: number
  /** Resolves when it has seen all there is; `changes` is how many there should be. */
  finish(changes: number): Promise<WatchReport>
}

export const clusterName = 'flights'
/** What a new cluster has by default. */
export const partitions = 16
