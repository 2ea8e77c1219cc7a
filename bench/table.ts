/** Figures as a table, which is also one in Markdown. */
import type { Figure } from './figure.ts'

const head = ['figure', 'value', 'unit', 'ratio', 'p50 ms', 'p99 ms', 'CPU µs: client', 'nodes', 'servers']
const toTheLeft = new Set(['figure', 'unit'])

export function table(figures: ReadonlyMap<string, Figure>): string {
  const rows = [...figures].map(([name, { value, unit, ratio, times, cpu }]) => [
    name,
    digits(value),
    unit,
    digits(ratio),
    ...[times?.p50Ms, times?.p99Ms].map(digits),
    ...[cpu?.client, cpu?.nodes, cpu?.servers].map(digits),
  ])
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)))
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const padded = (row: readonly string[]) =>
    line(row.map((cell, i) => (toTheLeft.has(head[i]!) ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))))
  const rule = line(
    head.map((title, i) => (toTheLeft.has(title) ? '-'.repeat(widths[i]!) : `${'-'.repeat(widths[i]! - 1)}:`)),
  )
  return [padded(head), rule, ...rows.map(padded)].join('\n')
}

/** Three significant ones, or all before the point; nothing for what is not known. */
export function digits(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value) || value === 0) return ''
  if (value >= 100) return Math.round(value).toLocaleString('en')
  return value.toLocaleString('en', { maximumSignificantDigits: 3 })
}
