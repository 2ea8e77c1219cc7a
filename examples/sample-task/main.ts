/**
 * A stream task on three nodes, of which one is killed on the way.
 *
 *   npm run example:sample-task [-- --messages <n>]
 *
 * JSON `{ key, value }` goes into a JetStream stream; the task puts it into its store, reads it back and emits it to another stream; a plain
 * consumer reads that. At the end the output is compared with the input, and the store with both.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { connect as connectNats } from '@nats-io/transport-node'
import { connect, type Holdfast } from '../../src/index.ts'
import { startNatsServer } from '../support/nats-server.ts'
import { Teardown } from '../support/teardown.ts'
import { differences, lastOf } from './check.ts'
import { Nodes } from './nodes.ts'
import { createStreams, feed, OutputReader } from './plain-client.ts'
import { clusterName, storeName, type Item } from './sample.ts'

const names = ['node-1', 'node-2', 'node-3']
const killed = 'node-2'
const keys = 50
const defaultMessages = 3_000
/** Fed at a time, so that the kill comes while there is work. */
const inFlight = 20
const patienceMs = 60_000
const shown = 20

async function run(count: number, teardown: Teardown): Promise<readonly string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-sample-task-'))
  teardown.add(async () => rmSync(folder, { recursive: true, force: true }))
  const troubles: string[] = []
  const servers = await startNatsServer(join(folder, 'nats'), teardown, troubles)
  const nc = await connectNats({ servers })
  teardown.add(() => nc.close())
  await createStreams(nc)
  const reader = await OutputReader.begin(nc)
  teardown.add(() => reader.close())
  const nodes = new Nodes(servers, folder, names, teardown, troubles)
  await nodes.serving()
  console.log(`${names.length} nodes serve the task; ${count} messages of ${keys} keys go in`)

  const items = Array.from({ length: count }, (_, i): Item => ({ key: `key-${(i * 7) % keys}`, value: i }))
  const fed = (async () => {
    for (let at = 0; at < count; at += inFlight) {
      await Promise.all(items.slice(at, at + inFlight).map((item) => feed(nc, item)))
    }
  })()
  await Promise.all([fed, kill(nodes, reader, Math.floor(count / 3))])
  const all = await reader.came(count, patienceMs)
  if (!all) troubles.push(`only ${reader.emitted.length} of ${count} outputs came within ${patienceMs / 1_000} s`)

  const hf = await connect({ servers, cluster: clusterName })
  teardown.add(() => hf.close())
  return [...troubles, ...differences(items, reader.emitted), ...(await storeDifferences(hf, items))]
}

async function kill(nodes: Nodes, reader: OutputReader, after: number): Promise<void> {
  if (!(await reader.came(after, patienceMs))) throw new Error(`not even ${after} outputs came`)
  console.log(`${reader.emitted.length} outputs have come: ${killed} is killed`)
  await nodes.kill(killed)
}

async function storeDifferences(hf: Holdfast, items: readonly Item[]): Promise<readonly string[]> {
  const found: string[] = []
  const missing = new Map(lastOf(items))
  for await (const { key, value, rev } of hf.kv<number>(storeName).range()) {
    const want = missing.get(key)
    missing.delete(key)
    if (want?.value !== value || want.rev !== rev) {
      found.push(`the store has ${key} = ${value} of rev ${rev}, not ${want?.value} of rev ${want?.rev}`)
    }
  }
  return [...found, ...[...missing.keys()].map((key) => `the store has no ${key}`)]
}

function messagesOf(args: string[]): number {
  const { values } = parseArgs({ args, options: { messages: { type: 'string', default: String(defaultMessages) } } })
  const count = Number(values.messages)
  if (Number.isInteger(count) && count >= keys && count <= 1_000_000) return count
  throw new Error(`--messages is a whole number from ${keys} to 1000000, not "${values.messages}"`)
}

async function main(): Promise<number> {
  let count: number
  try {
    count = messagesOf(process.argv.slice(2))
  } catch (error) {
    console.error(`${(error as Error).message}\n\nUsage: npm run example:sample-task [-- --messages <n>]`)
    return 2
  }
  const teardown = new Teardown()
  const interrupted = new Promise<undefined>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve(undefined))
  })
  let wrong: readonly string[] | undefined = ['it did not come to its end']
  let clean = false
  try {
    wrong = await Promise.race([run(count, teardown), interrupted])
  } finally {
    clean = await teardown.run()
  }
  if (wrong === undefined) process.exit(130)
  for (const difference of wrong.slice(0, shown)) console.log(`  ${difference}`)
  if (wrong.length > 0) {
    console.log(`FAILED: ${wrong.length} difference${wrong.length === 1 ? '' : 's'}`)
    return 1
  }
  console.log(
    `OK: ${count} messages in, ${count} out, each once and in the order of its key, over the kill of ${killed}; the store has the last of each of ${keys} keys`,
  )
  return clean ? 0 : 1
}

process.exitCode = await main()
