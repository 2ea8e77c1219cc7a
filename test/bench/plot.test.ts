import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import type { FiguresJson } from '../../bench/json.ts'
import { drawRates } from '../../bench/rates-plot.ts'

const docs = fileURLToPath(new URL('../../docs/', import.meta.url))
const perSecond = (value: number) => ({ value, unit: '/s' }) as const

describe('the plot', () => {
  const svg = drawRates({
    'commands.w64': perSecond(10_000),
    'commands.w4096': perSecond(57_000),
    'nats.kv.put.w256': perSecond(20_000),
  })
  const heightOf = (rate: string) => Number(new RegExp(` y="([\\d.]+)"[^>]*>${rate}</text>`).exec(svg)![1]) - 4

  it('has a point for each figure that was measured, and a title for each series', () => {
    expect(svg.match(/<circle/g)).toHaveLength(3)
    expect(svg).toContain('>one node</text>')
    expect(svg).toContain('>NATS KV put, no fsync</text>')
    expect(svg).not.toContain('Redis')
  })

  it('has points at the height of their rates', () => {
    const heights = Array.from(svg.matchAll(/<circle cx="[\d.]+" cy="([\d.]+)"/g), ([, y]) => Number(y))
    // A step of the grid is 20,000.
    const perRate = (heightOf('0') - heightOf('20,000')) / 20_000
    const expected = [57_000, 20_000, 10_000].map((rate) => heightOf('0') - rate * perRate)
    expect(heights.sort((a, b) => a - b)).toEqual(expected.map((y) => expect.closeTo(y, 0)))
  })

  it('in the documents is that of the figures in the documents', () => {
    const figures = JSON.parse(readFileSync(join(docs, 'performance.json'), 'utf8')) as FiguresJson
    expect(readFileSync(join(docs, 'performance.svg'), 'utf8')).toBe(drawRates(figures))
  })
})
