/**
 * Whatever dies, wherever: each message has its effect in the store once, its outputs come, and come again as the same only (lane.ts, L1
 * and L2; instance.ts, I1; output-publisher.ts, P2).
 *
 * A failing seed is run again with `SEED=<n> npx vitest run test/task/crashes.test.ts`.
 */
import { describe, expect, it } from 'vitest'
import { task, type TaskDefinition } from '../../src/behaviour/task.ts'
import { input, output, TaskCluster } from './task-cluster.ts'

interface Noted {
  readonly numbers: readonly number[]
}

/** Notes the numbers that came to each key, in their order: what is missing, doubled or out of order can be seen. */
const notes = (onProcess: (n: number) => void): TaskDefinition =>
  task<number>('notes', {
    input: { stream: input },
    stores: ['notes'],
    async process({ key, value: n }, { store, send }) {
      onProcess(n)
      const before = (await store<Noted>('notes').get(key))?.numbers ?? []
      await store<Noted>('notes').put(key, { numbers: [...before, n] })
      send({ subject: `out.${key}`, value: { n, before: before.length }, stream: output })
      send({ subject: `out.${key}`, value: { n, again: true } })
    },
  })

const keys = Array.from({ length: 9 }, (_, i) => `k${i}`)
const messages = 150

function expected(): Record<string, Noted> {
  const all: Record<string, { numbers: number[] }> = {}
  for (let n = 0; n < messages; n++) (all[keys[n % keys.length]!] ??= { numbers: [] }).numbers.push(n)
  return all
}

async function judge(cluster: TaskCluster): Promise<void> {
  await cluster.until(() => cluster.stored.length >= 2 * messages)
  // Whatever might still come twice has come by then.
  await cluster.pass(20_000)
  expect(await cluster.entries('notes')).toEqual(expected())
  expect(cluster.stored).toHaveLength(2 * messages)
  const contents = new Map<string, string>()
  for (const { id, subject, value } of cluster.arrived) {
    const content = JSON.stringify([subject, value])
    expect(contents.get(id) ?? content).toBe(content)
    contents.set(id, content)
  }
  for (const [key, { numbers }] of Object.entries(expected())) {
    const sent = cluster.stored.filter(({ subject }) => subject === `out.${key}`).map(({ value }) => value)
    expect(sent).toEqual(
      numbers.flatMap((n, i) => [
        { n, before: i },
        { n, again: true },
      ]),
    )
  }
}

async function run(seed: number): Promise<void> {
  const cluster = new TaskCluster(seed, { tasks: () => [notes(() => {})] })
  const chance = cluster.random.fork('faults')
  const names = ['n1', 'n2', 'n3']
  const start = (name: string) => {
    const { process } = cluster.start(name)
    Object.assign(process.changelog.faults, { loseRequest: 0.02, loseAcknowledgement: 0.05, refuse: 0.02 })
  }
  for (const name of names) start(name)
  for (let n = 0; n < messages; n++) {
    cluster.send(keys[n % keys.length]!, n)
    await cluster.pass(chance.next() * 60)
    if (chance.next() < 0.05) {
      const name = names[chance.below(names.length)]!
      if (cluster.nodes.has(name)) cluster.crash(name)
      else start(name)
    }
    if (chance.next() < 0.05) {
      const node = cluster.nodes.get(names[chance.below(names.length)]!)
      node?.process.links.hub.cut({ noticeAfterMs: chance.next() * 200 })
    }
    if (chance.next() < 0.2) for (const { process } of cluster.nodes.values()) process.heal()
  }
  for (const { process } of cluster.nodes.values()) {
    process.heal()
    Object.assign(process.changelog.faults, { loseRequest: 0, loseAcknowledgement: 0, refuse: 0 })
  }
  for (const name of names) if (!cluster.nodes.has(name)) cluster.start(name)
  await judge(cluster)
  await cluster.close()
}

const seeds =
  process.env['SEED'] === undefined ? Array.from({ length: 12 }, (_, i) => i + 1) : [Number(process.env['SEED'])]

describe('with nodes that die, links that break and appends that go wrong', () => {
  it.each(seeds)('each message counts once, and its outputs come (seed %i)', { timeout: 60_000 }, run)
})
