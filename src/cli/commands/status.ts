/** `status`, `members` and `partitions`: the report that any node gives. */
import type { Command } from 'commander'
import type { ClusterReport } from '../../placement/status-report.ts'
import type { Output } from '../output.ts'
import { define, remoteExits, type Surroundings } from '../run.ts'

interface View {
  readonly name: string
  readonly summary: string
  readonly examples: readonly string[]
  readonly json: (report: ClusterReport) => unknown
  readonly text: (report: ClusterReport, output: Output) => string
}

const views: readonly View[] = [
  {
    name: 'status',
    summary: 'Tells how the cluster is: who leads, who is a member, whether every partition is served.',
    examples: ['holdfast status', 'holdfast status --json | jq \'.partitions[] | select(.role != "owner")\''],
    json: (report) => report,
    text: (report, output) => [summaryOf(report, output), '', membersTable(report, output)].join('\n'),
  },
  {
    name: 'members',
    summary: 'Lists the nodes of the cluster.',
    examples: ['holdfast members', 'holdfast members --json'],
    json: ({ members }) => members,
    text: membersTable,
  },
  {
    name: 'partitions',
    summary: 'Lists the partitions: who owns each, at which epoch, and how far it is.',
    examples: ['holdfast partitions', 'holdfast partitions --json'],
    json: ({ partitions }) => partitions,
    text: partitionsTable,
  },
]

export function addStatus(program: Command, surroundings: Surroundings): void {
  for (const { name, summary, examples, json, text } of views) {
    const command = program.command(name).description(summary)
    const more =
      'It is what one node knows at the moment: leases and table as they are, load and positions from gossip.'
    define(command, surroundings, { examples, exits: remoteExits, more }, async (run) => {
      const report = await (await run.session()).report()
      run.output.result(json(report), () => text(report, run.output))
    })
  }
}

/** Those that no owner serves. */
export const unserved = ({ partitions }: ClusterReport): readonly number[] =>
  partitions.filter(({ role }) => role !== 'owner').map(({ partition }) => partition)

function summaryOf(report: ClusterReport, output: Output): string {
  const { cluster, leader, settings, members, partitions, node, version } = report
  const missing = unserved(report)
  const moving = partitions.filter((each) => each.moving !== null).length
  const alive = members.filter(({ lease }) => lease !== 'expired').length
  return [
    `cluster     ${cluster} (${settings.partitions} partitions, read lease ${settings.leaseMs} ms)`,
    `partitions  ${missing.length === 0 ? output.mark('ok', 'all are served') : output.mark('fail', `not served: ${missing.join(', ')}`)}${moving === 0 ? '' : `; ${moving} on the move`}`,
    `members     ${alive} alive${alive === members.length ? '' : `, ${members.length - alive} without a lease`}`,
    `leader      ${leader ?? output.mark('warn', 'none known')}`,
    `told by     ${node}, table version ${version}`,
  ].join('\n')
}

function membersTable({ members, leader }: ClusterReport, output: Output): string {
  const rows = members.map(({ id, lease, suspected, owned, load, host, zone, version }) => [
    id,
    suspected && lease !== 'expired' ? output.mark('warn', `${lease}, silent`) : lease,
    id === leader ? 'leads' : '',
    owned,
    load,
    host,
    zone,
    version,
  ])
  return output.table(['NODE', 'LEASE', '', 'OWNS', 'TURNS/S', 'HOST', 'ZONE', 'VERSION'], rows)
}

function partitionsTable({ partitions }: ClusterReport, output: Output): string {
  const rows = partitions.map(({ partition, owner, epoch, role, seq, lag, moving, standbys }) => [
    partition,
    owner ?? '-',
    epoch,
    role === 'owner' ? 'serving' : output.mark('warn', role ?? 'unknown'),
    seq ?? '-',
    lag ?? '-',
    [...(moving === null ? [] : [`to ${moving}`]), ...standbys.map((id) => `standby ${id}`)].join(', '),
  ])
  return output.table(['PARTITION', 'OWNER', 'EPOCH', 'STATE', 'SEQ', 'LAG', ''], rows)
}
