/** Nodes are killed with SIGKILL under load, again and again: what clients were told is what the ledgers and the logs hold. */
import { afterEach, expect, it } from 'vitest'
import type { Append } from './support/node-handle.ts'
import { ProcessCluster } from './support/process-cluster.ts'
import { reckon } from './support/reckoning.ts'
import { Workload } from './support/workload.ts'

/** A slice: `npm run chaos` has as many as one likes. */
const kills = 8
/** Less than the takeover of a partition takes. */
const impatient = '100ms'
const keys = Array.from({ length: 48 }, (_, i) => `k${i}`)

let cluster: ProcessCluster | undefined
afterEach(async () => {
  await cluster?.close()
  cluster = undefined
})

it('loses no acknowledged command and applies none twice over 8 kills', { timeout: 300_000 }, async () => {
  const the = (cluster = await ProcessCluster.start({ partitions: 8 }))
  let rotation: readonly string[] = ['a', 'b', 'c']
  await the.startAll(rotation)
  const workload = new Workload({ keys, onNews: () => the.tell() })
  workload.begin(await the.client('30s'), 4, 'patient')
  workload.begin(await the.client(impatient), 3, 'patient')
  workload.begin(await the.client(impatient), 3, 'hasty')
  workload.beginReading(await the.client('30s'), 2)

  /** Of each kill: the appends of commands that its victim had sent, and whose answer it had not seen. */
  const unanswered: (readonly Append[])[] = []
  for (let kill = 1; kill <= kills; kill++) {
    const [name, ...others] = rotation as [string, ...string[]]
    const victim = the.nodes.get(name)!
    const before = victim.commits
    await the.until(() => victim.commits > before, `${name} sends one more commit`)
    await the.kill(victim)
    unanswered.push(victim.unanswered)
    // It comes back on its directory, or a new node comes in its place.
    const next = kill % 3 === 0 ? `new-${kill}` : name
    const replacement = the.start(next)
    rotation = [...others, next]
    await the.until(() => replacement.commits > 0, `${next} commits commands`)
  }
  const { audit } = await reckon(the, workload, keys)
  const storedUnanswered = unanswered.filter((appends) => appends.some(({ hash }) => audit.byHash.has(hash)))
  expect(storedUnanswered.length).toBeGreaterThanOrEqual(1)
  expect(workload.repeated).toBeGreaterThan(0)
  expect(workload.ended('unknown')).toBeGreaterThan(0)
  expect(workload.reads).toBeGreaterThan(kills)
})
