/** An operator deletes the stream of one partition: that partition stops and says so, nothing is made anew in its place (L1). */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import type { Reference } from '../../src/index.ts'
import type { Transport } from '../../src/ports/transport.ts'
import { isHoldfastError } from '../../src/protocol/errors.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { wrongLists } from '../../src/testing/check/lists.ts'
import { Ledger } from './support/ledger.ts'
import type { NodeHandle } from './support/node-handle.ts'
import { clusterName, ProcessCluster } from './support/process-cluster.ts'
import { readBack, Workload } from './support/workload.ts'

const partitions = 8
const keys = Array.from({ length: 48 }, (_, i) => `k${i}`)
const names = ['a', 'b', 'c']
const lostKey = keys[0]!
const lost = partitionOf(lostKey, partitions)
const stream = `${clusterName}_P${lost}`
const others = keys.filter((key) => partitionOf(key, partitions) !== lost)

let cluster: ProcessCluster | undefined
afterEach(async () => {
  await cluster?.close()
  cluster = undefined
})

it('stops the partition whose stream is gone, and goes on with the others', { timeout: 240_000 }, async () => {
  // Nobody is to die here: each has its partitions until it is drained.
  const settings = { membership: { renewEveryMs: 500, leaseTermMs: 20_000 } }
  const the = (cluster = await ProcessCluster.start({ partitions, settings }))
  await the.startAll(names)
  const transport = await the.transport()
  const client = await the.client('30s')
  const workload = new Workload({ keys: others, onNews: () => the.tell() })
  workload.begin(client, 6, 'patient')
  const ledger = client.actor(Ledger, lostKey).with({ timeout: '3s' })
  expect(await ledger.append('first')).toBe(1)
  const owner = the.serverOf(lost)!
  const stores = await storesOf(the)
  expect(stores).toContain(join(owner.dataDir, `p${lost}`))

  expect(await api(transport, `STREAM.DELETE.${stream}`)).toMatchObject({ success: true })
  // The command that comes upon it may have happened, as far as its owner can know.
  expect(await endOf(ledger.append('second'))).toMatchObject({ code: 'UNKNOWN' })
  await expectStopped(the, ledger, owner)
  await expectOthersGoOn(the, workload)
  expect(await api(transport, `STREAM.INFO.${stream}`)).toMatchObject(notFound)

  // Nor is it made anew by nodes that start: one after the other, each drained before; then all of them.
  for (const name of names) {
    const node = the.nodes.get(name)!
    await the.drain(node)
    expect(await the.stop(node)).toEqual({ code: 0, signal: null })
    await the.ready(the.start(name))
    await expectOthersGoOn(the, workload)
  }
  expect(await api(transport, `STREAM.INFO.${stream}`)).toMatchObject(notFound)
  await workload.stop()
  for (const node of the.nodes.values()) expect(await the.stop(node)).toEqual({ code: 0, signal: null })
  await the.startAll(names)
  const stopped = await the.until(
    () => [...the.nodes.values()].find((node) => node.eventsOf('partition.stopped').length > 0),
    'the partition stops again',
  )
  await expectStopped(the, ledger, stopped)

  expect(await api(transport, `STREAM.INFO.${stream}`)).toMatchObject(notFound)
  expect(await storesOf(the)).toEqual(expect.arrayContaining(stores))
  expect(the.processes.flatMap((node) => node.eventsOf('store.set-aside'))).toEqual([])
  const stops = the.processes.flatMap((node) => node.eventsOf('partition.stopped'))
  expect(new Set(stops.map(({ partition }) => Number(partition)))).toEqual(new Set([lost]))
  expect(workload.mistakes).toEqual([])
  expect(wrongLists(workload.history, await readBack(client, others), performance.now())).toEqual([])
})

const reason = /the log of partition \d+ is broken: it is gone\. Its stores are kept; an operator has to decide/
const notFound = { error: { err_code: 10_059 } }

/** By the word of its node, and to callers, whose calls end. */
async function expectStopped(the: ProcessCluster, ledger: Reference<typeof Ledger>, node: NodeHandle): Promise<void> {
  await the.until(() => node.eventsOf('partition.stopped').length > 0, 'the partition stops')
  const { partitions: hosted } = await the.status(node)
  expect(hosted[lost]).toMatchObject({ role: 'stopped', reason: expect.stringMatching(reason) })
  for (const call of [() => ledger.append('third'), () => ledger.all()]) {
    expect(await endOfCertain(call)).toMatchObject({ code: 'RETRY', message: expect.stringMatching(reason) })
  }
}

/** A command whose last attempt was under way at its deadline, at a node that was just given the partition, cannot know: it is asked again. */
async function endOfCertain(call: () => Promise<unknown>): Promise<unknown> {
  for (;;) {
    const error = await endOf(call())
    if (!isHoldfastError(error, 'UNKNOWN')) return error
  }
}

const endOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    (value) => `it was answered: ${String(value)}`,
    (thrown: unknown) => thrown,
  )

async function expectOthersGoOn(the: ProcessCluster, workload: Workload): Promise<void> {
  const before = new Map(others.map((key) => [key, workload.acknowledgedOf(key)]))
  const all = () => others.every((key) => workload.acknowledgedOf(key) > before.get(key)!)
  await the.until(all, 'all other keys take commands')
}

/** Folders of stores of the lost partition that hold data. */
async function storesOf(the: ProcessCluster): Promise<string[]> {
  const found: string[] = []
  for (const { dataDir } of the.nodes.values()) {
    const path = join(dataDir, `p${lost}`)
    const files = await readdir(path).catch((): string[] => [])
    if (files.includes('CURRENT')) found.push(path)
  }
  return found
}

/** Asks JetStream, as its operator does. */
async function api(transport: Transport, question: string): Promise<unknown> {
  const inbox = transport.inbox()
  return new Promise((resolve) => {
    const answers = transport.subscribe(inbox, ({ data }) => {
      answers.close()
      resolve(JSON.parse(new TextDecoder().decode(data)))
    })
    transport.publish(`$JS.API.${question}`, new Uint8Array(), { reply: inbox })
  })
}
