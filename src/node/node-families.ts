/**
 * All that a node shows to Prometheus: what it is and does (docs/metrics.md), and how full its parts are (docs/limits.md).
 *
 * F1. Names are `holdfast_`, what is counted, the unit last, in seconds and bytes; counters end in `_total`.
 * F2. What is bounded has its bound beside it, under its name and `_limit`, with the same labels but for `partition`: all partitions of a node
 *     have the same.
 * F3. Series are by node, partition, role, state, code, event or bound, of which there are few; never by key or type.
 */
import type { NodeStatus } from '../../actors/node.ts'
import type { PartitionRole } from '../../actors/partition.ts'
import { liveness, readiness, type HealthFacts } from '../core/health.ts'
import type { Histogram } from '../core/histogram.ts'
import type { WorkMeter } from '../partition/work-meter.ts'
import type { Family, Series } from '../ports/families.ts'
import type { Labels, Metric } from '../ports/metrics.ts'
import { errorCodes } from '../protocol/errors.ts'

/** A node at one moment. */
export interface NodePicture {
  readonly cluster: string
  readonly version: string
  readonly status: NodeStatus
  readonly health: HealthFacts
  readonly metrics: readonly Metric[]
}

export function nodeFamilies(picture: NodePicture, meter: WorkMeter): readonly Family[] {
  return [...ofNode(picture), ...ofPartitions(picture), ...ofWork(meter), ...ofBounds(picture.metrics)]
}

function ofNode({ cluster, version, status, health }: NodePicture): readonly Family[] {
  const { lease } = health
  const { members } = status
  const suspected = members.filter((member) => member.suspected).length
  return [
    gauge('holdfast_build_info', 'Which node this is, and of which version; always 1', [
      { labels: { cluster, node: status.id, version }, value: 1 },
    ]),
    gauge('holdfast_node_state', '1 for the state that the node is in', perName(states, status.state)),
    flag('holdfast_node_live', 'Whether /healthz says 200', liveness(health).length === 0),
    flag('holdfast_node_ready', 'Whether /readyz says 200', readiness(health).length === 0),
    flag('holdfast_node_draining', 'Whether its partitions are being moved away', lease?.draining === true),
    flag('holdfast_node_leading', 'Whether this node leads the placement', status.leading),
    flag('holdfast_node_connected', 'Whether the connection to the server is up', health.connected),
    // Before it is a member there is no age.
    gauge(
      'holdfast_lease_age_seconds',
      'Since the last renewal of its lease that succeeded was sent',
      lease !== undefined && Number.isFinite(lease.renewedMsAgo) ? one(lease.renewedMsAgo / 1_000) : [],
    ),
    gauge(
      'holdfast_lease_term_seconds',
      'After which a lease that is not renewed has expired',
      lease === undefined ? [] : one(lease.termMs / 1_000),
    ),
    gauge(
      'holdfast_members_alive',
      'Members of which this node hears, itself included',
      one(members.length - suspected),
    ),
    gauge('holdfast_members_suspected', 'Members that have been silent for suspiciously long', one(suspected)),
  ]
}

function ofPartitions({ status, health }: NodePicture): readonly Family[] {
  const hosted = status.partitions.filter(({ role }) => role !== 'none')
  const each = (of: (partition: (typeof hosted)[number]) => number) =>
    hosted.map((partition) => ({ labels: { partition: String(partition.partition) }, value: of(partition) }))
  const inRole = roles.map((role) => ({
    labels: { role },
    value: status.partitions.filter((partition) => partition.role === role).length,
  }))
  return [
    gauge('holdfast_partitions', 'Partitions by the role that this node has for them', inRole),
    gauge(
      'holdfast_partitions_named',
      'Partitions for which placement names this node, by what it is to be',
      (['owner', 'standby'] as const).map((role) => ({
        labels: { role },
        value: health.named?.filter((named) => named.as === role).length ?? 0,
      })),
    ),
    gauge(
      'holdfast_partition_epoch',
      'Epoch of the ownership',
      each(({ epoch }) => epoch),
    ),
    gauge(
      'holdfast_partition_applied_sequence',
      'Last record taken in',
      each(({ progress }) => progress.appliedSeq),
    ),
    gauge(
      'holdfast_partition_lag_records',
      "Records between the log's end, as far as it was seen, and what was taken in",
      each(({ progress }) => progress.lag),
    ),
  ]
}

function ofWork(meter: WorkMeter): readonly Family[] {
  const failures = errorCodes.map((code) => ({ labels: { code }, value: meter.failures.get(code) ?? 0 }))
  return [
    histogram('holdfast_commit_seconds', 'From the sending of a record to its acknowledgement', meter.commitSeconds),
    histogram('holdfast_turn_seconds', 'From the arrival of a command to its committed reply', meter.turnSeconds),
    histogram('holdfast_takeover_seconds', 'From the beginning of a takeover to serving', meter.takeoverSeconds),
    counter('holdfast_commits_total', 'Records that the log has acknowledged', one(meter.records)),
    counter('holdfast_commit_bytes_total', 'Bytes of records that the log has acknowledged', one(meter.recordBytes)),
    counter('holdfast_turns_total', 'Turns in committed records', one(meter.turns)),
    counter('holdfast_turn_failures_total', 'Commands whose turn left no trace, by the code of the reply', failures),
    counter('holdfast_queries_taken_total', 'Queries taken in by an owner, or answered by a standby', [
      { labels: { role: 'owner' }, value: meter.queries },
      { labels: { role: 'standby' }, value: meter.standbyQueries },
    ]),
    counter('holdfast_queries_left_total', 'Queries that a standby left to the owner', one(meter.readsLeft)),
    counter(
      'holdfast_position_requests_total',
      'Requests of standbys for the position that an owner has committed',
      one(meter.positionRequests),
    ),
    counter('holdfast_changes_published_total', 'Changes handed to the connection', one(meter.changes)),
  ]
}

/** F2 */
function ofBounds(metrics: readonly Metric[]): readonly Family[] {
  const byName = new Map<string, Metric[]>()
  for (const metric of metrics) {
    const known = byName.get(metric.name)
    if (known === undefined) byName.set(metric.name, [metric])
    else known.push(metric)
  }
  return [...byName].flatMap(([name, known]) => {
    const family = { kind: known[0]!.kind, name, help: 'See docs/limits.md', series: known }
    const limits = limitsOf(known)
    return limits.length === 0 ? [family] : [family, gauge(`${name}_limit`, `At most so much of ${name}`, limits)]
  })
}

function limitsOf(known: readonly Metric[]): readonly Series<number>[] {
  const limits = new Map<string, Series<number>>()
  for (const metric of known) {
    if (metric.kind !== 'gauge') continue
    const { partition: _, ...labels } = metric.labels
    limits.set(JSON.stringify(labels), { labels, value: metric.limit })
  }
  return [...limits.values()]
}

/** Typed by what there is, so that none is forgotten. */
const names = <Name extends string>(all: Readonly<Record<Name, true>>) => Object.keys(all) as Name[]

const states = names<NodeStatus['state']>({
  starting: true,
  running: true,
  leaving: true,
  closed: true,
  crashed: true,
  fenced: true,
})

const roles = names<PartitionRole>({
  none: true,
  replaying: true,
  standby: true,
  owner: true,
  'handing-off': true,
  stopped: true,
})

const noLabels: Labels = {}
const one = (value: number): readonly Series<number>[] => [{ labels: noLabels, value }]

const perName = (all: readonly string[], now: string): readonly Series<number>[] =>
  all.map((state) => ({ labels: { state }, value: state === now ? 1 : 0 }))

const gauge = (name: string, help: string, series: readonly Series<number>[]): Family => ({
  kind: 'gauge',
  name,
  help,
  series,
})

const flag = (name: string, help: string, value: boolean): Family => gauge(name, help, one(Number(value)))

const counter = (name: string, help: string, series: readonly Series<number>[]): Family => ({
  kind: 'counter',
  name,
  help,
  series,
})

const histogram = (name: string, help: string, { reading }: Histogram): Family => ({
  kind: 'histogram',
  name,
  help,
  series: [{ labels: noLabels, value: reading }],
})
