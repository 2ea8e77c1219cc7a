/** The nats-server is killed with SIGKILL under load and started again on its store: the cluster waits, and goes on. */
import { afterEach, expect, it } from 'vitest'
import { auditLogs } from './support/log-audit.ts'
import { ProcessCluster } from './support/process-cluster.ts'
import { contradictions, isPrefix, readBack, Workload } from './support/workload.ts'

const outages = 3
const keys = Array.from({ length: 48 }, (_, i) => `k${i}`)
const names = ['a', 'b', 'c']

let cluster: ProcessCluster | undefined
afterEach(async () => {
  await cluster?.close()
  cluster = undefined
})

it(
  'loses nothing and applies nothing twice when its nats-server is killed and restarted',
  { timeout: 240_000 },
  async () => {
    const the = (cluster = await ProcessCluster.start({ partitions: 8 }))
    await the.startAll(names)
    const nodes = [...the.nodes.values()]
    const workload = new Workload({ keys, onNews: () => the.tell() })
    workload.begin(await the.client('60s'), 6, 'patient')
    // Longer than the leases of the nodes: who runs out of patience has outlived them.
    workload.begin(await the.client('1s'), 3, 'patient')
    workload.begin(await the.client('1s'), 3, 'hasty')

    for (let outage = 1; outage <= outages; outage++) {
      const commits = new Map(nodes.map((node) => [node, node.commits]))
      await the.until(() => nodes.every((node) => node.commits > commits.get(node)!), 'every node commits commands')
      await the.nats.kill()
      const unheard = workload.ended('unknown') + workload.ended('refused')
      await the.until(
        () => workload.ended('unknown') + workload.ended('refused') > unheard + 6,
        'clients run out of patience',
      )
      await the.nats.restart()
      const acknowledged = new Map(keys.map((key) => [key, workload.acknowledgedOf(key)]))
      await the.until(
        () => keys.every((key) => workload.acknowledgedOf(key) > acknowledged.get(key)!),
        'every key takes commands again',
      )
    }
    await workload.stop()

    expect(nodes.map(({ exit }) => exit)).toEqual([undefined, undefined, undefined])
    // While the registry was away nobody was declared dead (O5).
    expect(nodes.map((node) => node.eventsOf('node.started').length)).toEqual([1, 1, 1])
    expect(nodes.flatMap((node) => node.eventsOf('member.died'))).toEqual([])

    const states = await readBack(await the.client('30s'), keys)
    for (const node of nodes) expect(await the.stop(node)).toEqual({ code: 0, signal: null })
    const audit = await auditLogs((await the.ports()).changelog, the.partitions)
    expect(workload.mistakes).toEqual([])
    expect(contradictions(workload.history, states)).toEqual([])
    expect(contradictions(workload.history, audit.states)).toEqual([])
    expect(keys.filter((key) => !isPrefix(states.get(key), audit.states.get(key)))).toEqual([])
    expect(audit.findings).toEqual([])
    expect(the.alarms()).toEqual([])
    expect(workload.count(({ repeated, outcome }) => repeated && outcome.kind === 'acknowledged')).toBeGreaterThan(0)
  },
)
