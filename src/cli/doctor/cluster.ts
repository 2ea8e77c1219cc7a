/** Checks of the nodes: does every partition have an owner that serves, do they agree on versions and on the time? */
import { decodeNodeReply, encodeControl } from '../../placement/control.ts'
import type { ClusterReport } from '../../placement/status-report.ts'
import { messageOf } from '../../protocol/errors.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { version } from '../../version.ts'
import { unserved } from '../commands/status.ts'
import type { CliSession } from '../session.ts'
import { fail, ok, skip, some, warn, type Finding } from './finding.ts'

/** A node that is further off than this from its peers is to be looked at (E6). */
const farOffMs = 2_000
const clockPatienceMs = 2_000

export async function checkCluster(session: CliSession): Promise<readonly Finding[]> {
  let report: ClusterReport
  try {
    report = await session.report()
  } catch (error) {
    return [fail('nodes', messageOf(error), 'without a node nothing is served')]
  }
  return [...checkMembers(report), checkPlacement(report), ...(await checkClocks(session, report))]
}

function checkMembers({ members, leader }: ClusterReport): readonly Finding[] {
  const alive = members.filter(({ lease }) => lease !== 'expired')
  const silent = alive.filter(({ suspected }) => suspected).map(({ id }) => id)
  const versions = [...new Set(alive.map((each) => each.version).filter((each) => each !== ''))].toSorted()
  const others = versions.some((each) => each !== version)
  return [
    silent.length > 0
      ? warn('nodes', `silent: ${some(silent)}`, 'look at these processes and their connection to NATS')
      : ok('nodes', `${alive.length} alive: ${some(alive.map(({ id }) => id))}`),
    leader === null
      ? warn('leader', 'nobody leads placement', 'it is elected within seconds; if not, look at the registry')
      : ok('leader', leader),
    versions.length > 1
      ? warn('versions', `nodes run ${versions.join(' and ')}`, 'bring all to one version')
      : others
        ? warn(
            'versions',
            `nodes run ${versions.join()}, this program is ${version}`,
            'use the program of their version',
          )
        : ok('versions', `all run ${version}`),
  ]
}

function checkPlacement(report: ClusterReport): Finding {
  const missing = unserved(report)
  if (missing.length === 0) return ok('partitions', `all ${report.partitions.length} are served`)
  const stopped = report.partitions.filter(({ role }) => role === 'stopped').map(({ partition }) => partition)
  if (stopped.length > 0) {
    return fail(
      'partitions',
      `stopped: ${some(stopped)}`,
      'their log or its settings are broken: see the log of the owner, "holdfast partitions" and "holdfast log"',
    )
  }
  return fail(
    'partitions',
    `not served: ${some(missing)}`,
    'look again in a few seconds; if they stay so, see "holdfast partitions"',
  )
}

async function checkClocks(session: CliSession, { members }: ClusterReport): Promise<readonly Finding[]> {
  const alive = members.filter(({ lease }) => lease !== 'expired')
  const offsets: { readonly id: string; readonly offMs: number }[] = []
  for (const { id } of alive) {
    const offMs = await offsetOf(session, id as NodeId)
    if (offMs === undefined) {
      return [skip('clocks', `${id} has not told its time: this login may not ask it, or it is away`)]
    }
    offsets.push({ id, offMs })
  }
  const far = offsets.filter(({ offMs }) => Math.abs(offMs) > farOffMs)
  const shown = offsets.map(({ id, offMs }) => `${id} ${offMs > 0 ? '+' : ''}${offMs} ms`)
  return [
    far.length === 0
      ? ok('clocks', `from this machine: ${some(shown)}`)
      : warn(
          'clocks',
          `far from this machine: ${far.map(({ id, offMs }) => `${id} ${offMs} ms`).join(', ')}`,
          'keep the clocks by NTP, here and there: times of changes and expiry follow them',
        ),
  ]
}

/** How far the node's wall clock is before this machine's, at best half a round trip sure. */
async function offsetOf(session: CliSession, node: NodeId): Promise<number | undefined> {
  const { clock, subjects } = session
  const before = clock.now()
  try {
    const { now } = decodeNodeReply(
      await session.ask(subjects.nodeControl(node), encodeControl({ op: 'clock' }), clockPatienceMs),
    )
    return now === undefined ? undefined : Math.round(now - (before + clock.now()) / 2)
  } catch {
    return undefined
  }
}
