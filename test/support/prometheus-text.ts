/**
 * A strict reader of Prometheus' text format, version 0.0.4: what it lets pass, every scraper takes.
 *
 * T1. Every family has one HELP and one TYPE, in this order, before its series, and its lines are together.
 * T2. No series stands twice. Names, labels, escapes and values are of the grammar. The last line ends with a line feed.
 * T3. Counters are not negative. A histogram has for each set of labels buckets that do not fall, the last of them `+Inf` and equal to
 *     `_count`, and a `_sum`.
 */
export interface TextFamily {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly series: readonly TextSeries[]
}

export interface TextSeries {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

const types = ['counter', 'gauge', 'histogram', 'summary', 'untyped']
const metricName = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const line = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/
const label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(?:,|$)/y
const number = /^(?:[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]Inf|NaN)$/

/** Throws what is wrong, with the line. */
export function parsePrometheusText(text: string): ReadonlyMap<string, TextFamily> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end')
  const families = new Map<string, TextFamily & { series: TextSeries[] }>()
  const seen = new Set<string>()
  let current: (TextFamily & { series: TextSeries[] }) | undefined
  let helped: readonly [name: string, help: string] | undefined
  text
    .slice(0, -1)
    .split('\n')
    .forEach((content, i) => {
      const wrong = (why: string) => new Error(`line ${i + 1}, ${why}: ${content}`)
      if (content === '') return
      const [, name = '', help = ''] = /^# HELP (\S+) (.*)$/.exec(content) ?? []
      if (name !== '') {
        if (!metricName.test(name)) throw wrong('no name')
        if (families.has(name) || helped?.[0] === name) throw wrong('a second HELP')
        if (/\\(?![\\n])/.test(help)) throw wrong('no escape')
        helped = [name, help]
        return
      }
      const [, typed = '', type = ''] = /^# TYPE (\S+) (\S+)$/.exec(content) ?? []
      if (typed !== '') {
        if (!types.includes(type)) throw wrong('no type')
        if (helped?.[0] !== typed || families.has(typed)) throw wrong('a TYPE without its HELP before it')
        current = { name: typed, type, help: helped[1], series: [] }
        families.set(typed, current)
        return
      }
      if (content.startsWith('#')) throw wrong('a comment that is neither HELP nor TYPE')
      const series = seriesOf(content, wrong)
      if (current === undefined || !belongs(series.name, current)) throw wrong('away from its family')
      const key = `${series.name}${JSON.stringify(Object.entries(series.labels).toSorted())}`
      if (seen.has(key)) throw wrong('a second time')
      seen.add(key)
      current.series.push(series)
    })
  for (const family of families.values()) checkValues(family)
  return families
}

function seriesOf(content: string, wrong: (why: string) => Error): TextSeries {
  const [, name, inside = '', value = ''] = line.exec(content) ?? []
  if (name === undefined) throw wrong('no series')
  if (!number.test(value)) throw wrong('no value')
  const labels: Record<string, string> = {}
  label.lastIndex = 0
  while (label.lastIndex < inside.length) {
    const [, key, text] = label.exec(inside) ?? []
    if (key === undefined || text === undefined) throw wrong('no labels')
    if (key in labels) throw wrong(`the label ${key} twice`)
    if (key.startsWith('__')) throw wrong('a label that is reserved')
    labels[key] = text.replaceAll(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped))
  }
  return { name, labels, value: Number(value.replace('Inf', 'Infinity')) }
}

const suffixes: Readonly<Record<string, readonly string[]>> = {
  histogram: ['_bucket', '_sum', '_count'],
  summary: ['', '_sum', '_count'],
}

const belongs = (name: string, family: TextFamily): boolean =>
  (suffixes[family.type] ?? ['']).some((suffix) => name === `${family.name}${suffix}`)

/** T3 */
function checkValues({ name, type, series }: TextFamily): void {
  if (type === 'counter' && series.some(({ value }) => !(value >= 0))) throw new Error(`${name} is negative`)
  if (type !== 'histogram') return
  const groups = new Map<string, { le: string; value: number }[]>()
  const valueOf = (suffix: string, group: string) =>
    series.find((each) => each.name === `${name}${suffix}` && JSON.stringify(each.labels) === group)?.value
  for (const { name: full, labels, value } of series) {
    if (full !== `${name}_bucket`) continue
    const { le, ...rest } = labels
    if (le === undefined) throw new Error(`${name} has a bucket without a bound`)
    const group = JSON.stringify(rest)
    groups.set(group, [...(groups.get(group) ?? []), { le, value }])
  }
  for (const [group, buckets] of groups) {
    const bounds = buckets.map(({ le }) => Number(le.replace('Inf', 'Infinity')))
    const grows = (values: readonly number[]) => values.every((value, i) => i === 0 || value >= values[i - 1]!)
    if (!grows(bounds) || new Set(bounds).size !== bounds.length) throw new Error(`${name}: bounds ${bounds.join()}`)
    if (!grows(buckets.map(({ value }) => value))) throw new Error(`${name}: buckets that fall`)
    const last = buckets.at(-1)!
    if (last.le !== '+Inf' || last.value !== valueOf('_count', group)) throw new Error(`${name}: +Inf is not _count`)
    if (valueOf('_sum', group) === undefined) throw new Error(`${name} has no _sum`)
  }
}
