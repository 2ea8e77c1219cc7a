/**
 * The placement table: who owns which partition. It lives in the registry under one key and changes by
 * CAS only; the log has the last word about ownership (O1).
 */
import { HoldfastError } from '../protocol/errors.ts'
import { isNodeId, type Epoch, type NodeId, type NodeRef } from '../protocol/ids.ts'
import { isPartitionCount } from '../protocol/partitioning.ts'

export interface PlacementTable {
  /** Grows by one with each change. */
  readonly version: number
  /** One for each partition, by its number. */
  readonly entries: readonly PlacementEntry[]
}

export interface PlacementEntry {
  /** The epoch at which `owner` may claim. 0: nobody ever owned it. */
  readonly epoch: Epoch
  readonly owner: NodeRef | null
  /** Nodes that tail the changelog into a store of their own. */
  readonly standbys: readonly NodeRef[]
  /** Set while `owner` is to hand the partition over to this node (O6). */
  readonly moving: NodeRef | null
}

/** What a client needs of it. */
export interface PlacementView {
  readonly version: number
  readonly owners: readonly (NodeId | null)[]
}

export const viewOf = ({ version, entries }: PlacementTable): PlacementView => ({
  version,
  owners: entries.map(({ owner }) => owner?.id ?? null),
})

/** JSON, so that clients in every language can read it. */
export const encodeView = ({ version, owners }: PlacementView): Uint8Array => Buffer.from(JSON.stringify({ version, owners }))

/** Throws `INVALID` for anything that `encodeView` does not write. */
export function decodeView(bytes: Uint8Array): PlacementView {
  let view: Partial<PlacementView> | null
  try {
    view = JSON.parse(Buffer.from(bytes).toString()) as Partial<PlacementView> | null
  } catch (cause) {
    throw new HoldfastError('INVALID', 'this is not a placement view: it is no JSON', { cause })
  }
  const { version, owners } = view ?? {}
  const isOwner = (owner: unknown) => owner === null || (typeof owner === 'string' && isNodeId(owner))
  if (!Number.isSafeInteger(version) || !Array.isArray(owners) || !isPartitionCount(owners.length) || !owners.every(isOwner)) {
    throw new HoldfastError('INVALID', 'this is not a placement view: it needs a version and an owner or null for each partition')
  }
  return { version: version!, owners }
}
