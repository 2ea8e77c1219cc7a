/** An operator deletes the stream of one partition: that partition stops and says so, nothing is made anew in its place (L1). */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { isHoldfastError } from '../../src/index.ts'
import type { Transport } from '../../src/ports/transport.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { Ledger } from './support/ledger.ts'
import type { NodeHandle } from './support/node-handle.ts'
import { clusterName, ProcessCluster } from './support/process-cluster.ts'
import { contradictions, readBack, Workload } from './support/workload.ts'

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

it(
  'stops the partition whose stream was deleted, keeps its stores, and goes on with the others',
  { timeout: 240_000 },
  async () => {
    const the = (cluster = await ProcessCluster.start({ partitions }))
    await the.startAll(names)
    const transport = await the.transport()
    const client = await the.client('30s')
    const workload = new Workload({ keys: others, onNews: () => the.tell() })
    workload.begin(client, 6, 'patient')
    expect(await client.actor(Ledger, lostKey).append('first')).toBe(1)
    const owner = the.serverOf(lost)!
    const stores = await storesOf(the)

    expect(await api(transport, `STREAM.DELETE.${stream}`)).toMatchObject({ success: true })
    await expectEnds(the, client)
    await the.until(() => owner.eventsOf('partition.stopped').length > 0, 'the partition stops')
    await expectStopped(the, owner)
    await expectOthersGoOn(the, workload)
    await expectNothingNew(the, transport, stores)

    // Also not by nodes that know nothing of its past life but what the registry says: first one after the other, then all of them anew.
    for (const name of names) {
      expect(await the.stop(the.nodes.get(name)!)).toEqual({ code: 0, signal: null })
      await the.ready(the.start(name))
      await expectOthersGoOn(the, workload)
    }
    await expectNothingNew(the, transport, stores)
    await workload.stop()
    for (const node of the.nodes.values()) expect(await the.stop(node)).toEqual({ code: 0, signal: null })
    await the.startAll(names)
    await the.until(
      () => [...the.nodes.values()].some((node) => node.eventsOf('partition.stopped').length > 0),
      'the partition stops again',
    )
    const [stopped] = [...the.nodes.values()].filter((node) => node.eventsOf('partition.stopped').length > 0)
    await expectStopped(the, stopped!)
    await expectEnds(the, client)
    await expectNothingNew(the, transport, stores)

    expect(workload.mistakes).toEqual([])
    expect(contradictions(workload.history, await readBack(client, others))).toEqual([])
    expect(the.processes.flatMap((node) => node.eventsOf('store.set-aside'))).toEqual([])
    const stops = the.processes.flatMap((node) => node.eventsOf('partition.stopped'))
    expect(new Set(stops.map(({ partition }) => partition))).toEqual(new Set([lost]))
  },
)

/** A call ends within its deadline, and the error says what is the matter. */
async function expectEnds(the: ProcessCluster, client: Awaited<ReturnType<ProcessCluster['client']>>): Promise<void> {
  const started = performance.now()
  const error = await client
    .actor(Ledger, lostKey)
    .with({ timeout: '3s' })
    .append('second')
    .catch((thrown: unknown) => thrown)
  console.log(String(error), performance.now() - started)
  expect(isHoldfastError(error)).toBe(true)
  expect(performance.now() - started).toBeLessThan(4_000)
  void the
}

async function expectStopped(the: ProcessCluster, node: NodeHandle): Promise<void> {
  const { partitions: hosted } = await the.status(node)
  expect(hosted[lost]).toMatchObject({ role: 'stopped', reason: expect.stringMatching(/gone.*stores are kept/) })
}

async function expectOthersGoOn(the: ProcessCluster, workload: Workload): Promise<void> {
  const before = new Map(others.map((key) => [key, workload.acknowledgedOf(key)]))
  await the.until(
    () => others.every((key) => workload.acknowledgedOf(key) > before.get(key)!),
    'all other keys take commands',
  )
}

async function expectNothingNew(the: ProcessCluster, transport: Transport, stores: readonly string[]): Promise<void> {
  expect(await api(transport, `STREAM.INFO.${stream}`)).toMatchObject({ error: { err_code: 10_059 } })
  expect(await storesOf(the)).toEqual(expect.arrayContaining([...stores]))
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

async function api(transport: Transport, question: string): Promise<unknown> {
  const inbox = transport.inbox()
  return new Promise((resolve) => {
    transport.subscribe(inbox, ({ data }) => resolve(JSON.parse(new TextDecoder().decode(data))))
    transport.publish(`$JS.API.${question}`, new Uint8Array(), { reply: inbox })
  })
}
