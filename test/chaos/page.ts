/** docs/reliability.md: fixed words, and a table of what campaigns have found. */
import { fileURLToPath } from 'node:url'
import { format, resolveConfig } from 'prettier'
import { digits } from '../../bench/table.ts'
import { quantile } from '../support/quantile.ts'
import type { Fault } from './fault.ts'
import { isFinding, type Finding, type Row } from './results.ts'
import { prose } from './prose.ts'

export const pageFile = fileURLToPath(new URL('../../docs/reliability.md', import.meta.url))

const head = [
  ...['fault', 'nats-server', 'last on', 'callers', 'strikes', 'operations', 'violations'],
  ...['wait p50, ms', 'p99', 'longest', 'writes/s before', 'answer before, ms'],
]

export async function pageOf(faults: readonly Fault[], rows: readonly Row[]): Promise<string> {
  const findings = rows.filter(isFinding)
  const found = faults.flatMap(({ name }) => byServer(findings.filter(({ fault }) => fault === name)))
  const hits = found.flatMap((of) => hitsOf(of).map(([hit, count]) => [...nameOf(of), hit, count]))
  const violations = found.flatMap((of) =>
    of.flatMap(({ fault, date, violations }) => violations.map((what) => `- ${fault}, ${date}: ${firstLine(what)}`)),
  )
  const absent = faults
    .filter(({ name }) => !findings.some(({ fault }) => fault === name))
    .map(({ name }) => [`\`${name}\``, absenceOf(name, rows)])
  const text = prose({
    table: tableOf(head, 3, found.map(lineOf)),
    faults: tableOf(
      ['fault', 'what is done', 'strikes of a whole campaign'],
      2,
      faults.map(({ name, what, count, servers }) => [
        `\`${name}\``,
        servers === 3 ? `${what} Three servers, three replicas.` : what,
        String(count),
      ]),
    ),
    hits: hits.length === 0 ? 'None yet.' : tableOf(['fault', 'nats-server', 'what was hit', 'strikes'], 3, hits),
    absent: absent.length === 0 ? 'All of them were.' : tableOf(['fault', 'why'], 2, absent),
    violations: violations.length === 0 ? 'None.' : violations.join('\n'),
    machines: circumstancesOf(findings),
  })
  return format(text, { ...(await resolveConfig(pageFile)), parser: 'markdown' })
}

/** Those of each server, the newest first. */
function byServer(findings: readonly Finding[]): readonly (readonly Finding[])[] {
  const servers = [...new Set(findings.map(({ server }) => server))]
  return servers
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
    .map((server) => findings.filter((row) => row.server === server))
}

const nameOf = ([first]: readonly Finding[]) => [`\`${first!.fault}\``, first!.server] as const

function absenceOf(name: string, rows: readonly Row[]): string {
  const row = rows.find(({ fault }) => fault === name)
  return row === undefined || isFinding(row) ? 'not run yet' : `not possible on that machine: ${row.absent}`
}

function lineOf(found: readonly Finding[]): string[] {
  const waits = found.flatMap(({ waitsMs }) => waitsMs).sort((a, b) => a - b)
  const rates = found.flatMap(({ writesPerSecond }) => writesPerSecond).sort((a, b) => a - b)
  const usual = found.flatMap(({ usualMs = [] }) => usualMs).sort((a, b) => a - b)
  const sum = (of: (row: Finding) => number) => found.reduce((total, row) => total + of(row), 0)
  return [
    ...nameOf(found),
    found
      .map(({ date }) => date)
      .sort()
      .at(-1)!,
    [...new Set(found.map(({ callers }) => callers.toLocaleString('en')))].join(', '),
    String(sum(({ strikes }) => strikes)),
    sum(({ operations }) => operations).toLocaleString('en'),
    String(sum(({ violations }) => violations.length)),
    ...[quantile(waits, 0.5), quantile(waits, 0.99), waits.at(-1), quantile(rates, 0.5), quantile(usual, 0.5)].map(
      digits,
    ),
  ]
}

function hitsOf(found: readonly Finding[]): readonly (readonly [string, string])[] {
  const hits = new Map<string, number>()
  for (const row of found) for (const [hit, n] of Object.entries(row.hits)) hits.set(hit, (hits.get(hit) ?? 0) + n)
  return [...hits].sort(([a], [b]) => a.localeCompare(b)).map(([hit, count]) => [hit, String(count)])
}

const circumstancesOf = (findings: readonly Finding[]): string =>
  [...new Set(findings.map(({ machine, node }) => `${machine}, Node.js ${node}`))].map((one) => `- ${one}`).join('\n')

const firstLine = (text: string) => text.split('\n')[0]!

/** Prettier aligns it. `left`: how many columns are words; the rest are numbers. */
function tableOf(titles: readonly string[], left: number, rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(titles), line(titles.map((_, i) => (i < left ? '---' : '---:'))), ...rows.map(line)].join('\n')
}
