/**
 * Families of metrics as the text that Prometheus reads, by prom-client, with those of the process beside them.
 *
 * X1. Nothing is in prom-client's default registry: that one is the user's.
 * X2. What prom-client measures of a process (`process_…`, `nodejs_…`) it cannot let go of again: its observers of the garbage collector and
 *     of the event loop have no end. So there is one set of them in a process, made when it is first asked for, whichever node asks. Its
 *     delays of the event loop are left out: each scrape sets them back for all others, and where two come at once they are no numbers.
 * X3. Families are made anew each time, since series come and go as partitions do: what is gone leaves nothing behind.
 * X4. It takes about 4 µs for a series: between `seriesAtOnce` of them the node goes on with its work.
 */
import {
  collectDefaultMetrics,
  Counter,
  Gauge,
  Registry,
  type MetricType,
  type MetricObjectWithValues,
  type MetricValueWithName,
} from 'prom-client'
import type { HistogramReading } from '../../core/histogram.ts'
import type { Family, Series } from '../../ports/families.ts'

/** Of what `exposition` gives. */
export const contentType = Registry.PROMETHEUS_CONTENT_TYPE

/** X4 */
const seriesAtOnce = 500

/** Of families with names of their own. Rejects where a name is none that Prometheus takes. */
export async function exposition(families: readonly Family[]): Promise<string> {
  const texts: string[] = []
  let written = 0
  for (const family of families) {
    const registry = new Registry()
    register(family, registry)
    texts.push(await registry.metrics())
    written += family.series.length
    if (written < seriesAtOnce) continue
    written = 0
    await new Promise((resolve) => setImmediate(resolve))
  }
  texts.push(await processMetrics().metrics())
  return texts.join('\n')
}

/** How often prom-client looks at the event loop, which nobody asks it for. */
const seldomMs = 10_000
let ofProcess: Registry | undefined

/** X2 */
function processMetrics(): Registry {
  if (ofProcess === undefined) {
    ofProcess = new Registry()
    collectDefaultMetrics({ register: ofProcess, eventLoopMonitoringPrecision: seldomMs })
    for (const { name } of ofProcess.getMetricsAsArray()) {
      if (name.startsWith('nodejs_eventloop_lag')) ofProcess.removeSingleMetric(name)
    }
  }
  return ofProcess
}

function register(family: Family, registry: Registry): void {
  const { name, help } = family
  const labelNames = [...new Set(family.series.flatMap(({ labels }) => Object.keys(labels)))]
  const configuration = { name, help, labelNames, registers: [registry] }
  switch (family.kind) {
    case 'gauge': {
      const metric = new Gauge(configuration)
      for (const { labels, value } of family.series) metric.set(labels, value)
      return
    }
    case 'counter': {
      const metric = new Counter(configuration)
      for (const { labels, value } of family.series) metric.inc(labels, value)
      return
    }
    case 'histogram':
      registry.registerMetric(new ReadHistogram(name, help, family.series))
  }
}

/**
 * A histogram that was filled elsewhere (core/histogram.ts). prom-client's own takes one value at a time, and is written without being asked
 * by `get`; so this is one of its gauges that says something else of itself.
 */
class ReadHistogram extends Gauge {
  readonly #name: string
  readonly #series: readonly Series<HistogramReading>[]

  constructor(name: string, help: string, series: readonly Series<HistogramReading>[]) {
    super({ name, help, registers: [] })
    this.#name = name
    this.#series = series
  }

  override async get(): Promise<MetricObjectWithValues<MetricValueWithName<string>>> {
    const values = this.#series.flatMap((series) => valuesOf(this.#name, series))
    return { ...(await super.get()), type: histogram, values }
  }
}

/** Declared as an enumeration that is not there at run time. */
const histogram = 'histogram' as unknown as MetricType

function valuesOf(name: string, { labels, value }: Series<HistogramReading>): MetricValueWithName<string>[] {
  const { bounds, counts, sum } = value
  let count = 0
  const buckets = counts.map((here, i) => {
    count += here
    return { metricName: `${name}_bucket`, labels: { ...labels, le: bounds[i] ?? '+Inf' }, value: count }
  })
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ]
}
