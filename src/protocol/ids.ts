/**
 * Branded names and numbers of the protocol, so that a sequence is never taken for an epoch.
 *
 * A brand exists for the type checker only. Values enter by the constructors below, which assert
 * (a wrong number here is a bug of ours; what comes off the wire is checked by its codec).
 */

declare const brand: unique symbol
type Branded<T, B extends string> = T & { readonly [brand]: B }

/** Index of a partition, 0 … partitions − 1. */
export type PartitionId = Branded<number, 'PartitionId'>
/** Number of a partition's ownership; grows with every change of owner. 0: never owned. */
export type Epoch = Branded<number, 'Epoch'>
/** Sequence of a record in a partition's changelog, from 1. 0: before the first. */
export type Seq = Branded<number, 'Seq'>
/** Number of turns that changed one keyed actor's state, from 1. 0: never written. */
export type Rev = Branded<number, 'Rev'>
/** Operator's name of a node; stable over restarts. `[A-Za-z0-9_-]{1,64}`. */
export type NodeId = Branded<string, 'NodeId'>
/** Random name of one process start of a node (O1). */
export type Incarnation = Branded<string, 'Incarnation'>
/** Random name of one life of a partition's log (L1). */
export type Generation = Branded<string, 'Generation'>
/** Random name of one client (or gateway) and of the numbers it gives to its commands (R3). */
export type SessionId = Branded<string, 'SessionId'>

/** One process of one node. Two are the same only if both parts are. */
export interface NodeRef {
  readonly id: NodeId
  readonly incarnation: Incarnation
}

export function sameNode(a: NodeRef | null | undefined, b: NodeRef | null | undefined): boolean {
  return a != null && b != null && a.id === b.id && a.incarnation === b.incarnation
}

function whole(n: number, name: string): number {
  if (!Number.isSafeInteger(n) || n < 0) throw new RangeError(`${name} is a whole number from 0, not ${n}`)
  return n
}

export const partitionId = (n: number) => whole(n, 'partition') as PartitionId
export const epoch = (n: number) => whole(n, 'epoch') as Epoch
export const seq = (n: number) => whole(n, 'seq') as Seq
export const rev = (n: number) => whole(n, 'rev') as Rev
export const nextSeq = (n: Seq, by = 1) => (n + by) as Seq
export const nextRev = (n: Rev) => (n + 1) as Rev
export const nextEpoch = (n: Epoch) => (n + 1) as Epoch

const nodeIdPattern = /^[A-Za-z0-9_-]{1,64}$/

export const isNodeId = (text: string): text is NodeId => nodeIdPattern.test(text)
export const incarnation = (text: string) => text as Incarnation
export const generation = (text: string) => text as Generation
export const isGeneration = (text: string): boolean => /^[A-Za-z0-9]{1,64}$/.test(text)
export const sessionId = (text: string) => text as SessionId

/** The cluster where nobody names one. */
export const defaultCluster = 'holdfast'

/** Cluster names are used as they are in subjects, streams and buckets. */
export const isClusterName = (text: string): boolean => /^[a-z0-9-]{1,32}$/.test(text)
