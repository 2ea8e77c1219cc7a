/**
 * Gossip messages on the wire: the three steps of membership.ts.
 *
 * P1. A message is one msgpack array: [version, kind, from, digest or wanted, news], and of a digest how many its sender knows. News are encoded one by one, so that a message
 *     is filled up to its bound: what does not fit is left out, last first, and goes with a later round.
 *     An entry that alone is larger than a message is left out for the others' sake.
 * P2. A message has at most 512 KiB, or as much as the server takes. Anything else than a whole message of this version is `INVALID`.
 */
import { HoldfastError } from '../protocol/errors.ts'
import { epoch, incarnation, isNodeId, partitionId, seq, type NodeId } from '../protocol/ids.ts'
import { maxPartitions } from '../protocol/partitioning.ts'
import { readValue, writeValue } from '../protocol/value-bytes.ts'
import { maxWeight } from '../protocol/value-format.ts'
import {
  hostedRoles,
  maxMembers,
  type Digest,
  type HostedPartition,
  type MemberDetails,
  type MemberVersion,
  type News,
} from './membership.ts'

export const gossipVersion = 1
export const maxGossipBytes = 512 * 1_024

export type Gossip =
  | { readonly kind: 'digest'; readonly from: NodeId; readonly digest: Digest }
  | {
      readonly kind: 'answer'
      readonly from: NodeId
      readonly wanted: readonly MemberVersion[]
      readonly news: readonly News[]
    }
  | { readonly kind: 'news'; readonly from: NodeId; readonly news: readonly News[] }

const kinds = ['digest', 'answer', 'news'] as const

/** Most UTF-8 bytes of a host, zone or version. */
const maxLabelBytes = 255
/** Heads and the sender's name. */
const frameBytes = 256

/** `mostBytes`: where the server takes less than P2 allows. */
export function encodeGossip(gossip: Gossip, mostBytes = maxGossipBytes): Uint8Array {
  const versions = gossip.kind === 'digest' ? gossip.digest.versions : gossip.kind === 'answer' ? gossip.wanted : []
  const flat = versions.flatMap(({ id, boot, incarnation: process, heartbeat }) => [id, boot, process, heartbeat])
  const news: Uint8Array[] = []
  let left = Math.min(mostBytes, maxGossipBytes) - frameBytes - writeValue(flat).length
  const most = left
  for (const entry of gossip.kind === 'digest' ? [] : gossip.news) {
    const bytes = writeValue(flatNews(entry))
    const needed = bytes.length + 5
    if (needed > most) continue
    left -= needed
    if (left < 0) break
    news.push(bytes)
  }
  const known = gossip.kind === 'digest' ? [gossip.digest.known] : []
  return writeValue([gossipVersion, kinds.indexOf(gossip.kind), gossip.from, flat, news, ...known])
}

function flatNews({ id, boot, incarnation: process, heartbeat, revised, details }: News): unknown[] {
  const flat: unknown[] = [id, boot, process, heartbeat, revised]
  if (details === null) return flat
  const { host, zone, version, load, leaving, partitions } = details
  flat.push(host, zone, version, load, leaving)
  for (const p of partitions) {
    flat.push(p.partition, hostedRoles.indexOf(p.role), p.epoch, p.appliedSeq, p.headLag, p.stateHash)
  }
  return flat
}

export function decodeGossip(bytes: Uint8Array): Gossip {
  if (bytes.length > maxGossipBytes) throw malformed('size')
  const [version, kindNumber, from, versions, entries, count] = fieldsOf(bytes, 5)
  if (version !== gossipVersion) throw malformed('version')
  if (!Array.isArray(versions) || !Array.isArray(entries)) throw malformed('shape')
  const kind = kinds[natural(kindNumber)]
  const known = versionsOf(versions)
  const news = entries.map(newsOf)
  if (news.length > maxMembers) throw malformed('number of news')
  const sender = nodeIdOf(from)
  if (kind === 'digest' && news.length === 0) {
    return { kind, from: sender, digest: { versions: known, known: natural(count) } }
  }
  if (kind === 'answer') return { kind, from: sender, wanted: known, news }
  if (kind === 'news' && known.length === 0) return { kind, from: sender, news }
  throw malformed('kind')
}

function versionsOf(flat: readonly unknown[]): MemberVersion[] {
  const count = flat.length / 4
  if (!Number.isInteger(count) || count > maxMembers) throw malformed('number of versions')
  return Array.from({ length: count }, (_, i) => versionAt(flat, i * 4))
}

function versionAt(flat: readonly unknown[], at: number): MemberVersion {
  const process = flat[at + 2]
  if (typeof process !== 'string' || !/^[A-Za-z0-9]{0,64}$/.test(process)) throw malformed('incarnation')
  return {
    id: nodeIdOf(flat[at]),
    boot: natural(flat[at + 1]),
    incarnation: incarnation(process),
    heartbeat: natural(flat[at + 3]),
  }
}

function newsOf(bytes: unknown): News {
  if (!(bytes instanceof Uint8Array)) throw malformed('news')
  const flat = fieldsOf(bytes, 5)
  const version = versionAt(flat, 0)
  const revised = natural(flat[4])
  if (version.incarnation === '' || revised < 1 || revised > version.heartbeat) throw malformed('news')
  if (flat.length === 5) return { ...version, revised, details: null }
  return { ...version, revised, details: detailsOf(flat) }
}

function detailsOf(flat: readonly unknown[]): MemberDetails {
  const count = (flat.length - 10) / 6
  if (!Number.isInteger(count) || count < 0 || count > maxPartitions) throw malformed('number of partitions')
  const load = flat[8]
  const leaving = flat[9]
  if (typeof load !== 'number' || load < 0 || typeof leaving !== 'boolean') throw malformed('details')
  return {
    host: labelOf(flat[5]),
    zone: labelOf(flat[6]),
    version: labelOf(flat[7]),
    load,
    leaving,
    partitions: Array.from({ length: count }, (_, i) => hostedAt(flat, 10 + i * 6)),
  }
}

function hostedAt(flat: readonly unknown[], at: number): HostedPartition {
  const role = hostedRoles[natural(flat[at + 1])]
  const stateHash = flat[at + 5]
  if (role === undefined || typeof stateHash !== 'string' || !/^[0-9a-f]{0,64}$/.test(stateHash)) {
    throw malformed('partition')
  }
  return {
    partition: partitionId(natural(flat[at])),
    role,
    epoch: epoch(natural(flat[at + 2])),
    appliedSeq: seq(natural(flat[at + 3])),
    headLag: natural(flat[at + 4]),
    stateHash,
  }
}

function fieldsOf(bytes: Uint8Array, least: number): unknown[] {
  let flat: unknown
  try {
    flat = readValue(bytes, true, maxWeight)
  } catch (cause) {
    throw malformed('msgpack', cause)
  }
  if (!Array.isArray(flat) || flat.length < least) throw malformed('shape')
  return flat
}

function natural(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw malformed('number')
  return value
}

function nodeIdOf(value: unknown): NodeId {
  if (typeof value !== 'string' || !isNodeId(value)) throw malformed('node id')
  return value
}

function labelOf(value: unknown): string {
  if (typeof value !== 'string' || Buffer.byteLength(value) > maxLabelBytes) throw malformed('label')
  return value
}

const malformed = (what: string, cause?: unknown) =>
  new HoldfastError('INVALID', `this is not gossip of version ${gossipVersion}: bad ${what}`, { cause })
