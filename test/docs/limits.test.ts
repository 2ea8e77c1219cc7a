import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { actor, connect, createNode, task, type Holdfast, type HoldfastNode, type Metric } from '../../src/index.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'
import { page, root } from './markdown.ts'

interface Row {
  readonly names: readonly string[]
  readonly limit: string
  readonly tests: readonly string[]
}

/** The rows of the tables on the page whose first column names metrics. */
function rows(): readonly Row[] {
  const lines = page('docs/limits.md').text.split('\n')
  return lines.flatMap((line) => {
    const cells = line.split('|').slice(1, -1)
    const names = Array.from((cells[0] ?? '').matchAll(/`(holdfast_\w+)`/g), ([, name]) => name!)
    if (names.length === 0) return []
    const tests = Array.from((cells.at(-1) ?? '').matchAll(/\]\(\.\.\/(test\/[^)]+)\)/g), ([, path]) => path!)
    return [{ names, limit: cells[1]!.trim(), tests }]
  })
}

const units: Readonly<Record<string, number>> = { KiB: 1_024, MiB: 1_024 ** 2, GiB: 1_024 ** 3 }

/** "16,384", "32 MiB"; undefined for a counter's "–". */
function numberOf(limit: string): number | undefined {
  const [, digits, unit] = /^([\d,.]+)(?: (KiB|MiB|GiB))?$/.exec(limit) ?? []
  return digits === undefined ? undefined : Number(digits.replaceAll(',', '')) * (units[unit ?? ''] ?? 1)
}

describe('docs/limits.md', () => {
  const Cart = actor('cart', { version: 1, state: () => 0, commands: { add: (ctx) => ++ctx.state } })
  const Count = task('count', { input: { subject: 'counted' }, run: () => ({ process() {} }) })
  let folder: string
  let server: TestServer
  let node: HoldfastNode
  let hf: Holdfast
  let metrics: readonly Metric[]
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-limits-'))
    server = await startNatsServer({ syncAlways: false })
    node = await createNode({ servers: server.url, dataDir: folder, actors: [Cart], tasks: [Count] })
    hf = await connect({ servers: server.url })
    // So that every partition has an owner.
    await Promise.all(Array.from({ length: 100 }, (_, i) => hf.actor(Cart, `${i}`).add()))
    metrics = [...node.metrics(), ...hf.metrics()]
  })
  afterAll(async () => {
    await hf?.close()
    await node?.close()
    await server?.stop()
    await rm(folder, { recursive: true, force: true })
  })

  it('has a row for every metric, and a metric for every row', () => {
    const told = new Set(metrics.map(({ name }) => name))
    const written = rows().flatMap(({ names }) => names)
    expect(written.toSorted()).toEqual([...told].toSorted())
  })

  it('says the limits that are in force by default', () => {
    const limits = new Map(metrics.map((metric) => [metric.name, metric.kind === 'gauge' ? metric.limit : undefined]))
    const wrong = rows().flatMap(({ names, limit }) =>
      names
        .filter((name) => limits.get(name) !== numberOf(limit))
        .map((name) => `${name}: ${limits.get(name)}, not ${limit}`),
    )
    expect(wrong).toEqual([])
  })

  it('names a test for each', () => {
    for (const { names, tests } of rows()) {
      expect(tests.length, names.join()).toBeGreaterThan(0)
      for (const path of tests) expect(readFileSync(join(root, path), 'utf8'), path).toMatch(/\bit(\.each)?\(/)
    }
  })

  it('names every bound by which something is refused', () => {
    const reasons = new Set(
      metrics
        .filter(({ name }) => name === 'holdfast_overloaded_total')
        .map(({ labels }) => `\`${labels['where']}\`, \`${labels['reason']}\``),
    )
    const { text } = page('docs/limits.md')
    expect([...reasons].filter((reason) => !text.includes(reason))).toEqual([])
    expect(reasons.size).toBeGreaterThan(15)
  })

  it('has metrics by the rules of Prometheus, each label set once', () => {
    for (const { name, kind, value } of metrics) {
      expect(name).toMatch(/^holdfast_[a-z_]+$/)
      expect(name.endsWith('_total')).toBe(kind === 'counter')
      expect(Number.isFinite(value)).toBe(true)
    }
    for (const of of [node, hf]) {
      const series = of
        .metrics()
        .map(({ name, labels }) => `${name}${JSON.stringify(Object.entries(labels).toSorted())}`)
      expect(new Set(series).size).toBe(series.length)
    }
  })
})
