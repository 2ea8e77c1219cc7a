/**
 * The end of a test: what clients were told, what strong queries say and what the logs hold must be one story.
 */
import { expect } from 'vitest'
import { wrongAppends, type Append } from '../../../src/testing/check/appends.ts'
import { appendsOf, wrongLists } from '../../../src/testing/check/lists.ts'
import { auditLogs, type Audit } from './log-audit.ts'
import type { ProcessCluster } from './process-cluster.ts'
import { isPrefix, readBack, type Workload } from './workload.ts'

/** Closes the nodes on the way, each of which is to end by itself. `also`: commands that others than the workload have sent. */
export async function reckon(
  cluster: ProcessCluster,
  workload: Workload,
  keys: readonly string[],
  also: readonly Append[] = [],
): Promise<{ readonly states: ReadonlyMap<string, readonly string[]>; readonly audit: Audit }> {
  await workload.stop()
  const states = await readBack(await cluster.client('30s'), keys)
  for (const node of cluster.nodes.values()) {
    if (node.running) expect(await cluster.stop(node)).toEqual({ code: 0, signal: null })
  }
  const audit = await auditLogs((await cluster.ports()).changelog, cluster.partitions)
  const { history, mistakes } = workload
  expect(mistakes).toEqual([])
  // What was UNKNOWN to the end may have been done after it was read.
  for (const lists of [states, audit.states]) {
    expect(wrongAppends([...appendsOf(history), ...also], lists)).toEqual([])
  }
  // When these were sent, and answered, is not known here: what they did is, if anything, done at some time.
  for (const { key, id, outcome } of also) {
    const operation = history.invoke('a probe', key, { kind: 'append', id }, 0)
    if (outcome.kind === 'failed') history.failed(operation, outcome.code)
  }
  expect(wrongLists(history, audit.states, performance.now())).toEqual([])
  expect(keys.filter((key) => !isPrefix(states.get(key), audit.states.get(key)))).toEqual([])
  expect(audit.findings).toEqual([])
  expect(cluster.alarms()).toEqual([])
  return { states, audit }
}
