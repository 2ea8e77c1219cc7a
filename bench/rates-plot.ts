/** Rates over operations in flight, as SVG: a line for each system, a point where there is one figure. What was not measured is left out. */
import type { FiguresJson } from './json.ts'

interface Series {
  readonly title: string
  readonly color: string
  /** Figures by how many operations were in flight. */
  readonly names: ReadonlyMap<number, string>
}

const width = 760
const height = 420
const plot = { left: 80, right: 590, top: 30, bottom: 360 }
const inFlight = [64, 256, 1_024, 4_096]

const over = (name: string, widths: readonly number[]) => new Map(widths.map((w) => [w, `${name}.w${w}`]))

const allSeries: readonly Series[] = [
  { title: 'embedded, no server', color: '#7b5ea7', names: over('embedded.commands', [1_024]) },
  { title: 'one node', color: '#1f6f8b', names: over('commands', inFlight) },
  { title: 'three nodes', color: '#2a9d8f', names: over('commands.cluster3', [1_024]) },
  { title: 'three servers and replicas', color: '#457b9d', names: over('commands.r3', [1_024]) },
  { title: 'NATS KV put, no fsync', color: '#8d99ae', names: over('nats.kv.put', [256]) },
  { title: 'NATS KV put, fsync', color: '#5c677d', names: new Map([[256, 'nats.kv.put.w256.fsync']]) },
  { title: 'Redis, appendfsync always', color: '#c1121f', names: over('redis.commands', [256, 1_024]) },
  { title: 'Restate', color: '#e07a1f', names: over('restate.commands', [256, 1_024]) },
]

export function drawRates(figures: FiguresJson): string {
  const drawn = allSeries.flatMap(({ title, color, names }) => {
    const points = [...names].flatMap(([w, name]) => {
      const figure = figures[name]
      return figure === undefined ? [] : [{ w, rate: figure.value }]
    })
    return points.length === 0 ? [] : [{ title, color, points }]
  })
  const step = niceStep(Math.max(...drawn.flatMap(({ points }) => points.map(({ rate }) => rate))) / 5)
  const top = 6 * step
  const x = (w: number) =>
    plot.left +
    30 +
    (Math.log2(w / inFlight[0]!) / Math.log2(inFlight.at(-1)! / inFlight[0]!)) * (plot.right - plot.left - 60)
  const y = (rate: number) => plot.bottom - (rate / top) * (plot.bottom - plot.top)
  const text = (atX: number, atY: number, what: string, anchor: string, more = '') =>
    `<text x="${round(atX)}" y="${round(atY)}" text-anchor="${anchor}"${more}>${what}</text>`

  const grid = Array.from({ length: 7 }, (_, i) => i * step).flatMap((rate) => [
    `<path d="M${plot.left} ${round(y(rate))}H${plot.right}" stroke="#ddd"/>`,
    text(plot.left - 8, y(rate) + 4, rate.toLocaleString('en'), 'end'),
  ])
  const axis = inFlight.map((w) => text(x(w), plot.bottom + 20, w.toLocaleString('en'), 'middle'))
  // Titles stand beside the last points, in their order, and none over another.
  const byHeight = drawn.map((series) => ({ ...series, titleY: y(series.points.at(-1)!.rate) + 4 }))
  byHeight.sort((a, b) => a.titleY - b.titleY)
  byHeight.forEach((series, i) => (series.titleY = Math.max(series.titleY, (byHeight[i - 1]?.titleY ?? 0) + 18)))
  const lines = byHeight.flatMap(({ title, color, points, titleY }) => {
    const path = points.map(({ w, rate }, i) => `${i === 0 ? 'M' : 'L'}${round(x(w))} ${round(y(rate))}`).join('')
    const { w, rate } = points.at(-1)!
    return [
      `<path d="${path}" fill="none" stroke="${color}" stroke-width="2"/>`,
      `<path d="M${round(x(w))} ${round(y(rate))}L${plot.right + 6} ${round(titleY - 4)}" stroke="${color}" stroke-width="0.5"/>`,
      ...points.map((p) => `<circle cx="${round(x(p.w))}" cy="${round(y(p.rate))}" r="4" fill="${color}"/>`),
      text(plot.right + 10, titleY, title, 'start', ` fill="${color}"`),
    ]
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...grid,
    ...axis,
    text(plot.left, 16, 'operations per second', 'start', ' font-weight="bold"'),
    text((plot.left + plot.right) / 2, plot.bottom + 42, 'operations in flight', 'middle'),
    ...lines,
    '</svg>\n',
  ].join('\n')
}

/** 1, 2 or 5 times a power of ten, from the given number up. */
function niceStep(atLeast: number): number {
  const power = 10 ** Math.floor(Math.log10(atLeast))
  return power * ([1, 2, 5].find((times) => times * power >= atLeast) ?? 10)
}

const round = (n: number) => Math.round(n * 10) / 10
