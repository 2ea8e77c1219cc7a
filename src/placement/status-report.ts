/**
 * The report on a cluster that any node gives to who asks `<cluster>.status`: what that node knows at the moment. Pure.
 *
 * SR1. Who lives and who owns what is said by leases and by the placement table; how they do (load, role, position) by gossip, which is
 *     some hundred milliseconds old. A node is never asked anything for it.
 * SR2. It is JSON with a format number. A reader refuses what is not of that format: every field that it knows has to be there and to be what
 *      it is, in each member and each partition, too. Fields that it does not know it passes over.
 */
import { hostedRoles, type HostedPartition, type HostedRole } from '../core/membership.ts'
import type { PlacementTable } from '../core/table.ts'
import type { SeenMember } from '../membership/gossiper.ts'
import type { NodeLease } from '../membership/lease.ts'
import { HoldfastError } from '../protocol/errors.ts'
import { sameNode, type NodeId, type NodeRef } from '../protocol/ids.ts'
import { parseJsonText } from '../protocol/json-text.ts'

export interface ClusterReport {
  readonly format: 1
  readonly cluster: string
  /** Who answers. */
  readonly node: string
  /** Its wall clock, ms since 1970. */
  readonly at: number
  readonly settings: { readonly partitions: number; readonly leaseMs: number }
  /** Who leads placement; `null`: nobody, as far as the node knows. */
  readonly leader: string | null
  /** Of the placement table. */
  readonly version: number
  readonly members: readonly ReportedMember[]
  /** One for each, by number. */
  readonly partitions: readonly ReportedPartition[]
}

export interface ReportedMember {
  readonly id: string
  readonly incarnation: string
  readonly host: string
  readonly zone: string
  /** Of its Holdfast; '' before gossip has told. */
  readonly version: string
  /** Turns in the last second. */
  readonly load: number
  /** `expired`: gossip remembers it, and it has no lease any more. */
  readonly lease: 'alive' | 'draining' | 'expired'
  /** It is silent for longer than is likely. */
  readonly suspected: boolean
  /** Partitions that the table gives to it. */
  readonly owned: number
}

export interface ReportedPartition {
  readonly partition: number
  readonly owner: string | null
  readonly epoch: number
  /** Of the owner, as it says itself: `owner` is serving. `null`: nothing was heard. */
  readonly role: HostedRole | null
  /** Last sequence that the owner has applied. */
  readonly seq: number | null
  /** Records between that and the end of its log, as far as the owner knows. */
  readonly lag: number | null
  /** To whom it is about to go. */
  readonly moving: string | null
  readonly standbys: readonly string[]
}

export interface ReportSources {
  readonly cluster: string
  readonly self: NodeId
  readonly nowMs: number
  readonly settings: { readonly partitions: number; readonly leaseMs: number }
  readonly leader: NodeRef | null
  readonly table: PlacementTable
  readonly alive: readonly NodeLease[]
  readonly members: readonly SeenMember[]
}

/** SR1 */
export function reportOf({
  cluster,
  self,
  nowMs,
  settings,
  leader,
  table,
  alive,
  members,
}: ReportSources): ClusterReport {
  const ownedBy = (node: NodeRef) => table.entries.filter(({ owner }) => sameNode(owner, node)).length
  const living = alive.map((lease): ReportedMember => {
    const seen = members.find(({ member }) => sameNode(member, lease))
    const { id, incarnation, host, zone, draining } = lease
    return {
      ...{ id, incarnation, host, zone },
      version: seen?.member.details.version ?? '',
      load: seen?.member.details.load ?? 0,
      lease: draining ? 'draining' : 'alive',
      suspected: seen?.suspected ?? false,
      owned: ownedBy(lease),
    }
  })
  const remembered = members
    .filter(({ member }) => !alive.some((lease) => lease.id === member.id))
    .map(({ member, suspected }): ReportedMember => {
      const { id, incarnation, details } = member
      const { host, zone, version } = details
      return { id, incarnation, host, zone, version, load: 0, lease: 'expired', suspected, owned: ownedBy(member) }
    })
  const hosted = (node: NodeRef | null, partition: number): HostedPartition | undefined =>
    members
      .find(({ member }) => sameNode(member, node))
      ?.member.details.partitions.find((held) => held.partition === partition)
  return {
    format: 1,
    cluster,
    node: self,
    at: nowMs,
    settings: { partitions: settings.partitions, leaseMs: settings.leaseMs },
    leader: alive.some((lease) => sameNode(lease, leader)) ? (leader?.id ?? null) : null,
    version: table.version,
    members: [...living, ...remembered].toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    partitions: table.entries.map(({ owner, epoch, moving, standbys }, partition) => {
      const held = hosted(owner, partition)
      return {
        partition,
        owner: owner?.id ?? null,
        epoch,
        role: held?.role ?? null,
        seq: held?.appliedSeq ?? null,
        lag: held?.headLag ?? null,
        moving: moving?.id ?? null,
        standbys: standbys.map(({ id }) => id),
      }
    }),
  }
}

export const encodeReport = (report: ClusterReport): Uint8Array => Buffer.from(JSON.stringify(report))

/** Throws `INVALID` (SR2). */
export function decodeClusterReport(data: Uint8Array): ClusterReport {
  let report: unknown
  try {
    report = parseJsonText(data)
  } catch (cause) {
    throw unreadable(cause)
  }
  if (!isReport(report)) throw unreadable()
  return report as ClusterReport
}

type Check = (value: unknown) => boolean

const text: Check = (value) => typeof value === 'string'
const count: Check = (value) => typeof value === 'number' && Number.isFinite(value)
const yesOrNo: Check = (value) => typeof value === 'boolean'
const oneOf =
  (words: readonly string[]): Check =>
  (value) =>
    words.some((word) => word === value)
const maybe =
  (check: Check): Check =>
  (value) =>
    value === null || check(value)
const listOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check)

/** With a check for each field that there is: the type checker misses none. */
const shape =
  <T>(checks: Readonly<Record<keyof T & string, Check>>): Check =>
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    Object.entries<Check>(checks).every(([field, check]) => check((value as Record<string, unknown>)[field]))

const isMember = shape<ReportedMember>({
  ...{ id: text, incarnation: text, host: text, zone: text, version: text, load: count },
  ...{ lease: oneOf(['alive', 'draining', 'expired']), suspected: yesOrNo, owned: count },
})

const isPartition = shape<ReportedPartition>({
  ...{ partition: count, owner: maybe(text), epoch: count, role: maybe(oneOf(hostedRoles)) },
  ...{ seq: maybe(count), lag: maybe(count), moving: maybe(text), standbys: listOf(text) },
})

const isReport = shape<ClusterReport>({
  ...{ format: (value) => value === 1, cluster: text, node: text, at: count },
  settings: shape<ClusterReport['settings']>({ partitions: count, leaseMs: count }),
  ...{ leader: maybe(text), version: count },
  members: listOf(isMember),
  partitions: (value) =>
    Array.isArray(value) && value.every((each, n) => isPartition(each) && (each as ReportedPartition).partition === n),
})

const unreadable = (cause?: unknown) =>
  new HoldfastError(
    'INVALID',
    'what answered is not a report of format 1: use the command line of the version that the nodes run',
    { cause },
  )
