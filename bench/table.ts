/** Figures as a table. */
import Table from 'cli-table3'
import type { Figure } from './figure.ts'
import type { Scene } from './scene.ts'

export function table(scenes: readonly Scene[], figures: ReadonlyMap<string, Figure>, head: boolean): string {
  const rows = new Table({
    ...(head ? { head: ['figure', 'value', 'unit', 'ratio', 'CPU µs: client', 'nodes', 'servers', 'what'] } : {}),
    style: { head: [], border: [], compact: true },
    colAligns: ['left', 'right', 'left', 'right', 'right', 'right', 'right', 'left'],
  })
  for (const scene of scenes) {
    for (const [name, { what }] of Object.entries(scene.figures)) {
      const figure = figures.get(name)
      if (figure === undefined) continue
      const { value, unit, ratio, cpu } = figure
      const micros = [cpu?.client, cpu?.nodes, cpu?.servers].map((us) => (us === undefined ? '' : us.toFixed(1)))
      rows.push([name, number(value), unit, ratio === undefined ? '' : ratio.toFixed(2), ...micros, what])
    }
  }
  return rows.toString()
}

const number = (value: number): string =>
  value >= 100 ? Math.round(value).toLocaleString('en') : value.toLocaleString('en', { maximumSignificantDigits: 3 })
