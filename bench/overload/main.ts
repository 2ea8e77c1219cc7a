/**
 * Ten times what a node can do, for a minute, on one key and on all: what comes of it, and whether that is what is promised.
 * It is done on a real nats-server; the node and the flood are a process each.
 *
 * A command keeps the processor for a millisecond, so that ten times as much as the node can do is little for those who send it, also on a
 * machine that all of them share. A probe sends next to nothing, steadily, to other keys.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { Child, runScript } from '../../examples/support/child.ts'
import { startNatsServer } from '../../examples/support/nats-server.ts'
import { quantiles } from '../../examples/support/quantiles.ts'
import { Teardown } from '../../examples/support/teardown.ts'
import { parsePositive } from '../../src/cli/parse.ts'
import { connect, type Holdfast } from '../../src/index.ts'
import type { FloodMessage, FloodOrder } from './flood.ts'
import type { NodeMessage, NodeState } from './node.ts'
import { openLoop } from './open-loop.ts'
import { Tally } from './tally.ts'
import { verdictsOf, type Measured } from './verdicts.ts'
import { hotKey, keysOf, Work } from './work.ts'

const cluster = 'overload'
const times = 10
const sustainMs = 5_000
/** Commands of the probe in a second, and how long it looks before and after. */
const probeRate = 200
const lookMs = 10_000
/** What the probe is judged by after the flood, this much of it at a time. */
const windowMs = 500

const floodedKeys = keysOf(1_000)
const probedKeys = Array.from({ length: 100 }, (_, i) => `probe-${i}`)

interface Stage {
  readonly client: Holdfast
  readonly node: Child<NodeMessage>
  readonly flood: Child<FloodMessage>
}

async function open(folder: string, teardown: Teardown, troubles: string[]): Promise<Stage> {
  const servers = await startNatsServer(join(folder, 'nats'), teardown, troubles)
  const start = async <M extends { readonly kind: string }>(file: string, args: readonly string[]) => {
    const child = new Child<M | { readonly kind: 'ready' }>(
      runScript(new URL(file, import.meta.url), [servers, cluster, ...args]),
      file,
      troubles,
    )
    teardown.add(() => child.end('disconnect'))
    await child.message('ready')
    return child
  }
  const node = (await start<NodeMessage>('node.ts', [join(folder, 'node')])) as Child<NodeMessage>
  const client = await connect({ servers, cluster, timeout: '30s' })
  teardown.add(() => client.close())
  const flood = (await start<FloodMessage>('flood.ts', [])) as Child<FloodMessage>
  return { client, node, flood }
}

async function measure({ client, node, flood }: Stage, keys: readonly string[], forMs: number): Promise<Measured> {
  const rss: NodeState[] = []
  let flooding = false
  node.onMessage((message) => {
    if (message.kind === 'state' && flooding) rss.push(message)
  })
  const order = (what: FloodOrder) => flood.send(what)
  const countedBefore = await countOf(client, keys)
  const sustained = flood.message('sustained')
  order({ kind: 'sustain', keys, forMs: sustainMs })
  const { perSecond, acknowledged } = await sustained
  console.log(`sustained: ${perSecond.toFixed(0)} a second; flood: ${(times * perSecond).toFixed(0)} a second`)

  const before = await probe(client, lookMs)
  const flooded = flood.message('flooded')
  flooding = true
  order({ kind: 'flood', keys, forMs, rate: times * perSecond })
  const during = await probe(client, forMs)
  flooding = false
  const endedMs = performance.now()
  const [recoveredAfterMs, { outcomes, metrics }] = await Promise.all([
    recovery(client, 2 * quantiles(before.latenciesMs).p99Ms, endedMs),
    flooded,
  ])
  report(rss, metrics)
  return {
    oneKey: keys.length === 1,
    flooded: outcomes,
    before: quantiles(before.latenciesMs),
    during: quantiles(during.latenciesMs),
    recoveredAfterMs,
    rssBytes: rss.map(({ rssBytes }) => rssBytes),
    acknowledged: acknowledged + outcomes.acknowledged.count,
    counted: (await countOf(client, keys)) - countedBefore,
  }
}

const touch = (client: Holdfast, n: number, id: string | undefined) => {
  const work = client.actor(Work, probedKeys[n % probedKeys.length]!)
  return (id === undefined ? work : work.with({ id })).touch()
}

async function probe(client: Holdfast, forMs: number): Promise<Tally> {
  const tally = new Tally()
  await openLoop({ rate: probeRate, forMs, tally, call: (n, id) => touch(client, n, id) })
  return tally
}

/** From when on the p99 of each stretch of the probe is within `withinMs`. */
async function recovery(client: Holdfast, withinMs: number, sinceMs: number): Promise<number> {
  let recoveredMs = performance.now()
  for (const endMs = sinceMs + lookMs; performance.now() < endMs;) {
    const { acknowledged, overloaded } = (await probe(client, windowMs)).outcomes()
    if (acknowledged.p99Ms > withinMs || overloaded.count > 0) recoveredMs = performance.now()
  }
  return recoveredMs - sinceMs
}

async function countOf(client: Holdfast, keys: readonly string[]): Promise<number> {
  const counts = await Promise.all(keys.map((key) => client.actor(Work, key).done()))
  return counts.reduce((sum, count) => sum + count, 0)
}

/** How full the node was at most, where that was something, and why it refused. */
function report(states: readonly NodeState[], clientMetrics: readonly string[]): void {
  const most = new Map<string, { value: number; limit: number | undefined }>()
  for (const { metrics } of states) {
    for (const { name, labels, value, ...rest } of metrics) {
      const { reason = '' } = labels
      const key = reason === '' ? name : `${name} ${reason}`
      const limit = 'limit' in rest ? rest.limit : undefined
      if (value > (most.get(key)?.value ?? 0)) most.set(key, { value, limit })
    }
  }
  for (const [name, { value, limit }] of most) {
    if (limit === undefined || value > limit / 20)
      console.log(`  ${name}: ${Math.round(value)}${limit === undefined ? '' : ` of ${Math.round(limit)}`}`)
  }
  for (const line of clientMetrics) console.log(`  ${line}`)
}

async function overload(
  seconds: number,
  only: string | undefined,
  json: string | undefined,
  teardown: Teardown,
): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-overload-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const troubles: string[] = []
  const stage = await open(folder, teardown, troubles)
  const results: Record<string, Measured> = {}
  let kept = true
  for (const [name, keys] of [
    ['one key', [hotKey]],
    ['all keys', floodedKeys],
  ] as const) {
    if (only !== undefined && !name.startsWith(only)) continue
    console.log(`\n${name}: ${seconds} s of ${times} times what the node sustains`)
    const measured = (results[name] = await measure(stage, keys, seconds * 1_000))
    for (const verdict of verdictsOf(measured)) {
      kept &&= verdict.kept
      console.log(`${verdict.kept ? 'kept  ' : 'BROKEN'} ${verdict.promise}: ${verdict.figure}`)
    }
  }
  for (const trouble of troubles) console.log(`trouble: ${trouble}`)
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(results, null, 2)}\n`)
  return kept && troubles.length === 0
}

interface Options {
  readonly seconds: number
  readonly only?: 'one' | 'all'
  readonly json?: string
}

const { seconds, only, json } = new Command('npm run overload --')
  .description('Ten times what a node can do, on one key and on all, and what comes of it.')
  .option('--seconds <n>', 'how long each', parsePositive, 60)
  .addOption(new Option('--only <which>', 'this alone').choices(['one', 'all']))
  .option('--json <file>', 'writes what was measured, too')
  .allowExcessArguments(false)
  .parse()
  .opts<Options>()
const teardown = new Teardown()
let kept = false
let clean = false
try {
  kept = await overload(seconds, only, json, teardown)
} finally {
  clean = await teardown.run()
}
process.exitCode = kept && clean ? 0 : 1
