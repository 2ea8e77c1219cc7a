/**
 * The end of a test: what clients were told, what strong queries say and what the logs hold must be one story.
 */
import { expect } from 'vitest'
import { auditLogs, type Audit } from './log-audit.ts'
import type { ProcessCluster } from './process-cluster.ts'
import { contradictions, isPrefix, readBack, type Entry, type Workload } from './workload.ts'

/** Closes the nodes on the way, each of which is to end by itself. `also`: commands that others than the workload have sent. */
export async function reckon(
  cluster: ProcessCluster,
  workload: Workload,
  keys: readonly string[],
  also: Iterable<readonly [string, Entry]> = [],
): Promise<{ readonly states: ReadonlyMap<string, readonly string[]>; readonly audit: Audit }> {
  await workload.stop()
  const states = await readBack(await cluster.client('30s'), keys)
  for (const node of cluster.nodes.values()) {
    if (node.running) expect(await cluster.stop(node)).toEqual({ code: 0, signal: null })
  }
  const audit = await auditLogs((await cluster.ports()).changelog, cluster.partitions)
  const history = new Map([...workload.history, ...also])
  expect(workload.mistakes).toEqual([])
  expect(contradictions(history, states)).toEqual([])
  // What was UNKNOWN to the end may have been done after it was read.
  expect(contradictions(history, audit.states)).toEqual([])
  expect(keys.filter((key) => !isPrefix(states.get(key), audit.states.get(key)))).toEqual([])
  expect(workload.misreadings(audit.states)).toEqual([])
  expect(audit.findings).toEqual([])
  expect(cluster.alarms()).toEqual([])
  return { states, audit }
}
