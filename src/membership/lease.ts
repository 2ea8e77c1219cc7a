/**
 * A node's lease: one key in the registry, `lease.<node id>`, renewed by CAS. Who is alive is decided there and nowhere else (O5).
 */
import { HoldfastError } from '../protocol/errors.ts'
import { parseJsonText } from '../protocol/json-text.ts'
import { isNodeId, type Incarnation, type NodeId, type NodeRef } from '../protocol/ids.ts'

export interface NodeLease extends NodeRef {
  /** `dead`: somebody saw it expire. `left`: it said goodbye. */
  readonly state: 'alive' | 'dead' | 'left'
  readonly host: string
  readonly zone: string
  /** Share of the partitions that it is to have, relative to others. Default 1. */
  readonly weight: number
  /** Everything is to be moved away from it. */
  readonly draining: boolean
  /** Grows with each renewal, so that each is a write of its own. */
  readonly renewal: number
}

export const leasePrefix = 'lease.'
export const leaseKey = (id: NodeId): string => `${leasePrefix}${id}`

export const encodeLease = (lease: NodeLease): Uint8Array => Buffer.from(JSON.stringify(lease))

/** Throws `INVALID` for anything else than a lease. */
export function decodeLease(value: Uint8Array): NodeLease {
  let lease: unknown
  try {
    lease = parseJsonText(value)
  } catch (cause) {
    throw new HoldfastError('INVALID', 'this is not a lease: it is not JSON', { cause })
  }
  const { id, incarnation, state, host, zone, weight, draining, renewal } = (lease ?? {}) as Record<string, unknown>
  const texts = [incarnation, host, zone].every((field) => typeof field === 'string')
  const numbers = [weight, renewal].every((field) => Number.isFinite(field) && (field as number) >= 0)
  const known = state === 'alive' || state === 'dead' || state === 'left'
  if (typeof id !== 'string' || !isNodeId(id) || !texts || !numbers || !known || typeof draining !== 'boolean') {
    throw new HoldfastError('INVALID', 'this is not a lease: a field is missing or of another type')
  }
  return lease as NodeLease
}

/** `undefined`: it is no lease, or not that of the key. */
export function leaseOf(key: string, value: Uint8Array): NodeLease | undefined {
  try {
    const lease = decodeLease(value)
    return key === leaseKey(lease.id) ? lease : undefined
  } catch {
    return undefined
  }
}

export const refOf = ({ id, incarnation }: { readonly id: NodeId; readonly incarnation: Incarnation }): NodeRef => ({
  id,
  incarnation,
})
