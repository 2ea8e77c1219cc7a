/**
 * The placement table: who owns which partition. It lives in the registry under one key and changes by
 * CAS only; the log has the last word about ownership (O1).
 *
 * Table and view are JSON on the wire and in the registry, with a format number: an operator and any client can read them. What
 *     is not exactly of that format is `INVALID`.
 */
import { HoldfastError } from '../protocol/errors.ts'
import { epoch, incarnation, isNodeId, type Epoch, type NodeId, type NodeRef } from '../protocol/ids.ts'
import { parseFormatted } from '../protocol/json-text.ts'
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
  /** Of each partition, by its number; absent where the teller does not know. */
  readonly standbys?: readonly (readonly NodeId[])[] | undefined
}

/** The table of a cluster in which nobody has ever owned anything. */
export function initialTable(partitions: number): PlacementTable {
  const entries = Array.from({ length: partitions }, () => ({
    epoch: epoch(0),
    owner: null,
    standbys: [],
    moving: null,
  }))
  return { version: 0, entries }
}

export const viewOf = (table: PlacementTable): PlacementView => ({
  version: table.version,
  owners: table.entries.map(({ owner }) => owner?.id ?? null),
  standbys: table.entries.map(({ standbys }) => standbys.map(({ id }) => id)),
})

const format = 1

export const encodeTable = (table: PlacementTable): Uint8Array => bytesOf({ format, ...table })

export const encodeView = (view: PlacementView): Uint8Array => bytesOf({ format, ...view })

export const decodeTable = (bytes: Uint8Array): PlacementTable => tableFrom(parseFormatted(bytes, format, malformed))

/** As it stands within other JSON. Throws `INVALID`. */
export function tableFrom(json: unknown): PlacementTable {
  if (typeof json !== 'object' || json === null) throw malformed('table')
  const { version, entries } = json as { readonly [field in keyof PlacementTable]?: unknown }
  if (!isNatural(version) || !Array.isArray(entries) || !isPartitionCount(entries.length)) throw malformed('table')
  return { version, entries: entries.map(entryFrom) }
}

export function decodeView(bytes: Uint8Array): PlacementView {
  const { version, owners, standbys } = parseFormatted(bytes, format, malformed)
  if (!isNatural(version) || !Array.isArray(owners) || !isPartitionCount(owners.length)) throw malformed('view')
  const view = { version, owners: owners.map((owner) => (owner === null ? null : nodeIdFrom(owner))) }
  if (standbys === undefined) return view
  if (!Array.isArray(standbys) || standbys.length !== owners.length) throw malformed('view')
  return { ...view, standbys: standbys.map(nodeIdsFrom) }
}

function nodeIdsFrom(json: unknown): readonly NodeId[] {
  if (!Array.isArray(json)) throw malformed('standbys')
  return json.map(nodeIdFrom)
}

function entryFrom(json: unknown): PlacementEntry {
  if (typeof json !== 'object' || json === null) throw malformed('entry')
  const { epoch: number, owner, standbys, moving } = json as { readonly [field in keyof PlacementEntry]?: unknown }
  if (!isNatural(number) || !Array.isArray(standbys)) throw malformed('entry')
  return {
    epoch: epoch(number),
    owner: owner === null ? null : nodeFrom(owner),
    standbys: standbys.map(nodeFrom),
    moving: moving === null ? null : nodeFrom(moving),
  }
}

export function nodeFrom(json: unknown): NodeRef {
  if (typeof json !== 'object' || json === null) throw malformed('node')
  const { id, incarnation: process } = json as { readonly [field in keyof NodeRef]?: unknown }
  if (typeof process !== 'string' || !/^[A-Za-z0-9]{1,64}$/.test(process)) throw malformed('incarnation')
  return { id: nodeIdFrom(id), incarnation: incarnation(process) }
}

function nodeIdFrom(json: unknown): NodeId {
  if (typeof json !== 'string' || !isNodeId(json)) throw malformed('node id')
  return json
}

const bytesOf = (json: object): Uint8Array => new TextEncoder().encode(JSON.stringify(json))

const isNatural = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

const malformed = (what: string, cause?: unknown) =>
  new HoldfastError('INVALID', `this is not a placement of format ${format}: bad ${what}`, { cause })
