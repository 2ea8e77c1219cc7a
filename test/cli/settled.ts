/** A cluster whose nodes are processes, as the program reports it. */
import type { ClusterReport } from '../../src/placement/status-report.ts'
import type { Said } from './program.ts'

/**
 * Asks, with `holdfast status --json`, until each member has so many partitions, all are served and known to have their standby, and nobody
 * is silent: then nothing moves by itself any more. Resolves with that report.
 */
export async function settled(status: () => Promise<Said>, each: number): Promise<ClusterReport> {
  for (;;) {
    const { stdout, code } = await status()
    if (code !== 0) continue
    const report = JSON.parse(stdout) as ClusterReport
    const { members, partitions } = report
    const standbys = members.length > 1 ? 1 : 0
    if (
      members.every(({ owned, suspected }) => owned === each && !suspected) &&
      partitions.every((one) => one.role === 'owner' && one.moving === null && one.standbys.length === standbys)
    )
      return report
  }
}
