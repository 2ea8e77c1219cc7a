/** What a real node on a real nats-server shows to Prometheus, and what docs/metrics.md says of it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { register } from 'prom-client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openNatsTransport } from '../../src/adapters/nats/open.ts'
import { actor, createNode, task, type Holdfast, type HoldfastNode } from '../../src/index.ts'
import { makeParts, quick } from '../adapters/nats-world.ts'
import { page } from '../docs/markdown.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'
import { parsePrometheusText, type TextFamily } from '../support/prometheus-text.ts'
import { unhurriedClient } from '../support/unhurried-client.ts'

const Cart = actor('cart', {
  version: 1,
  state: () => 0,
  commands: {
    add: (ctx) => ++ctx.state,
    look: (ctx) => ctx.state,
    refuse() {
      throw new Error('no')
    },
  },
  queries: { count: (state) => state },
})
const Count = task('count', { input: { subject: 'counted' }, run: () => ({ process() {} }) })
const partitions = 4

let folder: string
let server: TestServer
let node: HoldfastNode
let hf: Holdfast
let text: string
let families: ReadonlyMap<string, TextFamily>

const scrape = async () => {
  const response = await fetch(`${node.http}/metrics`)
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  return response.text()
}
const valueOf = (name: string, labels: Readonly<Record<string, string>> = {}) => {
  const suffixed = families.get(name.replace(/_(?:bucket|sum|count)$/, ''))
  const { series } = families.get(name) ?? suffixed ?? { series: [] }
  return series.find(
    (each) => each.name === name && Object.entries(labels).every(([key, value]) => each.labels[key] === value),
  )?.value
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-metrics-'))
  server = await startNatsServer({ syncAlways: false })
  node = await createNode({
    servers: server.url,
    dataDir: folder,
    cluster: 'scraped',
    nodeId: 'a',
    partitions,
    actors: [Cart],
    tasks: [Count],
    http: 0,
  })
  // It repeats nothing: each command is one turn.
  hf = await unhurriedClient('scraped', await openNatsTransport({ servers: server.url, ...quick }, makeParts()))
  await Promise.all(Array.from({ length: 100 }, (_, i) => hf.actor(Cart, `${i}`).add()))
  await hf.actor(Cart, '1').look()
  await hf
    .actor(Cart, '1')
    .refuse()
    .catch(() => {})
  await hf.actor(Cart, '1').count()
  do {
    text = await scrape()
    families = parsePrometheusText(text)
    // Not so after the machine has stopped for longer than the term, until the lease is renewed again.
  } while (valueOf('holdfast_node_ready') !== 1)
}, 60_000)
afterAll(async () => {
  await hf?.close()
  await node?.close()
  await server?.stop()
  await rm(folder, { recursive: true, force: true })
})

interface Row {
  readonly name: string
  readonly type: string
  readonly labels: readonly string[]
}

/** The rows of the tables on the page whose first column names metrics. */
function rows(): readonly Row[] {
  const quoted = (cell = '') => Array.from(cell.matchAll(/`(\w+)`/g), ([, name]) => name!)
  return page('docs/metrics.md')
    .text.split('\n')
    .flatMap((line) => {
      const [names, type, labels] = line.split('|').slice(1, -1)
      return quoted(names)
        .filter((name) => name.startsWith('holdfast_'))
        .map((name) => ({ name, type: type!.trim(), labels: quoted(labels).toSorted() }))
    })
}

/** Those of ours, without the bounds that stand beside others. */
const ours = () =>
  [...families.values()].filter(
    ({ name }) => name.startsWith('holdfast_') && !(name.endsWith('_limit') && families.has(name.slice(0, -6))),
  )

describe('what a node shows to Prometheus', () => {
  it('is, word for word, what docs/metrics.md says: each name, its type and its labels', () => {
    const shown = ours().map(({ name, type, series }) => {
      const labels = new Set(series.flatMap((each) => Object.keys(each.labels)))
      labels.delete('le')
      return { name, type, labels: [...labels].toSorted() }
    })
    const byName = (a: Row, b: Row) => (a.name < b.name ? -1 : 1)
    expect(rows().toSorted(byName)).toEqual(shown.toSorted(byName))
    expect(shown.length).toBeGreaterThan(60)
  })

  it('is all that the node says of how full it is, with the limit beside each', () => {
    const said = node.metrics()
    expect(said.map(({ name }) => name).filter((name) => !families.has(name))).toEqual([])
    for (const metric of said) {
      if (metric.kind === 'counter') continue
      const { partition: _, ...labels } = metric.labels
      expect(valueOf(`${metric.name}_limit`, labels), metric.name).toBe(metric.limit)
    }
  })

  it('counts what was done', () => {
    expect(valueOf('holdfast_turns_total')).toBe(101)
    expect(valueOf('holdfast_turn_seconds_count')).toBe(101)
    // What an owner published at its beginning may be published again.
    expect(valueOf('holdfast_changes_published_total')).toBeGreaterThanOrEqual(100)
    expect(valueOf('holdfast_turn_failures_total', { code: 'FAILED' })).toBe(1)
    expect(valueOf('holdfast_turn_failures_total', { code: 'INVALID' })).toBe(0)
    expect(valueOf('holdfast_queries_taken_total')).toBe(1)
    const commits = valueOf('holdfast_commits_total')!
    expect(commits).toBeGreaterThanOrEqual(partitions)
    expect(valueOf('holdfast_commit_seconds_count')).toBe(commits)
    expect(valueOf('holdfast_commit_bytes_total')).toBeGreaterThan(100 * 20)
    expect(valueOf('holdfast_takeover_seconds_count')).toBe(partitions)
    expect(valueOf('holdfast_replayed_records_total')).toBeGreaterThanOrEqual(partitions)
    expect(valueOf('holdfast_events_total', { event: 'partition.serving' })).toBe(partitions)
    expect(valueOf('holdfast_events_total', { event: 'partition.stopped' })).toBe(0)
    expect(valueOf('holdfast_last_trouble_timestamp_seconds', { event: 'partition.stopped' })).toBe(0)
  })

  it('times in seconds: no command took longer than all of them', () => {
    const [turns, commits] = [valueOf('holdfast_turn_seconds_sum')!, valueOf('holdfast_commit_seconds_sum')!]
    expect(turns).toBeGreaterThan(0)
    expect(commits).toBeGreaterThan(0)
    expect(turns / 101).toBeLessThan(20)
    expect(valueOf('holdfast_turn_seconds_bucket', { le: '10' })).toBe(101)
  })

  it('says what it is', () => {
    expect(valueOf('holdfast_build_info', { cluster: 'scraped', node: 'a' })).toBe(1)
    expect(valueOf('holdfast_node_state', { state: 'running' })).toBe(1)
    expect(valueOf('holdfast_node_state', { state: 'fenced' })).toBe(0)
    expect(valueOf('holdfast_node_leading')).toBe(1)
    expect(valueOf('holdfast_node_ready')).toBe(1)
    expect(valueOf('holdfast_partitions', { role: 'owner' })).toBe(partitions)
    expect(valueOf('holdfast_partitions_named')).toBe(partitions)
    expect(valueOf('holdfast_members_alive')).toBe(1)
    expect(valueOf('holdfast_partition_epoch', { partition: '0' })).toBe(1)
    expect(valueOf('holdfast_lease_age_seconds')).toBeLessThan(valueOf('holdfast_lease_term_seconds')!)
  })

  it('has the process beside it, and how late its event loop is, and leaves the default registry to its user', () => {
    expect(valueOf('process_resident_memory_bytes')).toBeGreaterThan(0)
    expect(valueOf('holdfast_event_loop_delay_seconds_count')).toBeGreaterThan(0)
    expect(families.get('nodejs_gc_duration_seconds')?.type).toBe('histogram')
    expect(register.getMetricsAsArray()).toEqual([])
  })

  it('can be had again and again, by many at once', async () => {
    const texts = await Promise.all(Array.from({ length: 20 }, scrape))
    for (const each of texts) expect([...parsePrometheusText(each).keys()]).toEqual([...families.keys()])
  })
})

describe('the reader of the format', () => {
  it.each([
    ['a line that does not end', '# HELP a b\n# TYPE a gauge\na 1'],
    ['a series without a family', 'a 1\n'],
    ['a TYPE without HELP', '# TYPE a gauge\na 1\n'],
    ['a type that is none', '# HELP a b\n# TYPE a meter\na 1\n'],
    ['a value that is none', '# HELP a b\n# TYPE a gauge\na one\n'],
    ['a label without quotes', '# HELP a b\n# TYPE a gauge\na{b=c} 1\n'],
    ['a label twice', '# HELP a b\n# TYPE a gauge\na{b="c",b="c"} 1\n'],
    ['a quote in a label', '# HELP a b\n# TYPE a gauge\na{b="c"d"} 1\n'],
    ['a series twice', '# HELP a b\n# TYPE a gauge\na{b="c",d="e"} 1\na{d="e",b="c"} 1\n'],
    ['a family in two pieces', '# HELP a b\n# TYPE a gauge\n# HELP c d\n# TYPE c gauge\na 1\n'],
    ['a counter below 0', '# HELP a b\n# TYPE a counter\na -1\n'],
    [
      'buckets that fall',
      '# HELP a b\n# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n',
    ],
    [
      'a count that is not the last bucket',
      '# HELP a b\n# TYPE a histogram\na_bucket{le="+Inf"} 1\na_sum 1\na_count 2\n',
    ],
    ['no +Inf', '# HELP a b\n# TYPE a histogram\na_bucket{le="1"} 1\na_sum 1\na_count 1\n'],
  ])('refuses %s', (_, wrong) => {
    expect(() => parsePrometheusText(wrong)).toThrow(/./)
  })

  it('takes what is right', () => {
    const right =
      '# HELP a b\\n\n# TYPE a histogram\na_bucket{c="\\"d\\\\",le="1"} 1\na_bucket{c="\\"d\\\\",le="+Inf"} 1\na_sum{c="\\"d\\\\"} 0.5\na_count{c="\\"d\\\\"} 1\n'
    expect(parsePrometheusText(right).get('a')?.series[0]?.labels['c']).toBe('"d\\')
  })
})
