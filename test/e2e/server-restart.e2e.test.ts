/** The nats-server dies under load and is started again on its store, or hangs for a while: the cluster waits, and goes on. */
import { afterEach, expect, it } from 'vitest'
import { ProcessCluster } from './support/process-cluster.ts'
import { reckon } from './support/reckoning.ts'
import { Workload } from './support/workload.ts'

const keys = Array.from({ length: 48 }, (_, i) => `k${i}`)
const names = ['a', 'b', 'c']

/** A node that is stopped for a while by what else the machine does must live: nobody is to die here (O5). */
const leaseTermMs = 6_000
/** Longer than that: whoever runs out of patience has outlived the leases of the nodes. */
const impatient = '7s'

let cluster: ProcessCluster | undefined
afterEach(async () => {
  await cluster?.close()
  cluster = undefined
})

it('loses nothing and applies nothing twice when its nats-server is killed', { timeout: 240_000 }, async () => {
  await outages(3, {
    begin: (the) => the.nats.kill(),
    end: (the) => the.nats.restart(),
  })
})

it('loses nothing and applies nothing twice when its nats-server hangs', { timeout: 240_000 }, async () => {
  await outages(4, {
    begin: (the) => the.nats.pause(),
    end: (the) => the.nats.resume(),
  })
})

interface Outage {
  readonly begin: (the: ProcessCluster) => void | Promise<void>
  readonly end: (the: ProcessCluster) => void | Promise<void>
}

async function outages(count: number, { begin, end }: Outage): Promise<void> {
  const the = (cluster = await ProcessCluster.start({
    partitions: 8,
    settings: { membership: { renewEveryMs: 500, leaseTermMs } },
  }))
  await the.startAll(names)
  const nodes = [...the.nodes.values()]
  const workload = new Workload({ keys, onNews: () => the.tell() })
  workload.begin(await the.client('60s'), 6, 'patient')
  workload.begin(await the.client(impatient), 3, 'patient')
  workload.begin(await the.client(impatient), 3, 'hasty')
  workload.beginReading(await the.client('60s'), 2)

  for (let outage = 1; outage <= count; outage++) {
    const commits = new Map(nodes.map((node) => [node, node.commits]))
    await the.until(() => nodes.every((node) => node.commits > commits.get(node)!), 'every node commits commands')
    await begin(the)
    const lost = unanswered(workload)
    // Three of them may have been on their way before.
    await the.until(() => unanswered(workload) > lost + 3, 'clients run out of patience')
    await end(the)
    const before = new Map(keys.map((key) => [key, workload.acknowledgedOf(key)]))
    const all = () => keys.every((key) => workload.acknowledgedOf(key) > before.get(key)!)
    await the.until(all, 'every key takes commands again')
  }

  expect(nodes.map(({ exit }) => exit)).toEqual([undefined, undefined, undefined])
  // While the registry was away nobody was declared dead (O5).
  expect(nodes.flatMap((node) => [...node.eventsOf('member.died'), ...node.eventsOf('node.fenced')])).toEqual([])
  expect(nodes.map((node) => node.eventsOf('node.started').length)).toEqual([1, 1, 1])
  await reckon(the, workload, keys)
  expect(workload.repeated).toBeGreaterThan(0)
}

const unanswered = (workload: Workload) => workload.ended('unknown') + workload.ended('refused')
