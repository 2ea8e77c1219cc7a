/**
 * A run: a world, one strike after the other under load, and everything checked.
 *
 * R1. Load and probes go on from before a strike until after it is healed and everybody has answered again. Then nothing more is begun, what
 *     is there is read, and the histories of the strike are checked and let go: memory does not grow with the strikes.
 * R2. At the end of the world the watcher has seen every change, nodes have said nothing that they never should, and the logs are audited.
 * R3. A cluster that does not come back is a violation like any other; the run ends with it. One that could not be begun was never struck: the
 *     run rejects, and has found nothing.
 */
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { Holdfast } from '../../src/index.ts'
import type { Replica } from '../../src/testing/check/replicas.ts'
import type { Fault, Wound } from './fault.ts'
import { Histories } from './histories.ts'
import { Load, type LoadOptions } from './load.ts'
import { auditLogs } from './logs.ts'
import { Probes } from './probes.ts'
import { readFinals, wrongWith, type Finals } from './reckoning.ts'
import { Watcher } from './watcher.ts'
import { allPartitions, partitions, World } from './world.ts'

export interface RunOptions {
  readonly fault: Fault
  /** Of the whole campaign the number of the first, from 0. */
  readonly first: number
  readonly strikes: number
  readonly pace: Pace
  /** Ends it, and all its processes; `run` rejects then. */
  readonly signal?: AbortSignal
  /** A line for people. */
  readonly say: (line: string) => void
  /** For tests of the campaign itself: what was written down is changed before it is checked. */
  readonly tamper?: (histories: Histories, finals: Finals) => void
}

export interface Pace {
  /** Workers with one operation under way each, of all clients together. */
  readonly workers: number
  /** Of each kind: so few that some are asked of by several at a time, so many that no state is long. */
  readonly keys: number
  /** Of load before a strike, and after everybody has answered, ms. */
  readonly beforeMs: number
  readonly afterMs: number
}

export const fullPace: Pace = { workers: 2_048, keys: 600, beforeMs: 3_000, afterMs: 500 }

export interface Outcome {
  /** Around each strike. */
  readonly callers: number
  readonly strikes: number
  readonly operations: number
  /** Of each strike, in the time before it. */
  readonly writesPerSecond: readonly number[]
  /** Likewise: how long an answer took, the median of all partitions, ms. */
  readonly usualMs: readonly number[]
  /** Of each strike and each partition that it hit: the longest wait for an answer, ms. */
  readonly waitsMs: readonly number[]
  /** Of the logs. */
  readonly records: number
  readonly hits: Readonly<Record<string, number>>
  readonly violations: readonly string[]
}

const patienceMs = 120_000
const shortTimeout = '500ms'
const longTimeout = '30s'
const patientClients = 4
/** Of the workers. */
const hastyShare = 1 / 16
const never = new Promise<never>(() => {})

interface Clients {
  readonly reader: Holdfast
  readonly probing: Holdfast
  readonly patient: LoadOptions['patient']
  readonly hasty: LoadOptions['hasty']
}

async function beginning({ fault, pace }: RunOptions, world: World): Promise<Clients> {
  const { cluster } = world
  const hastyWorkers = Math.ceil(pace.workers * hastyShare)
  const workers = Math.ceil((pace.workers - hastyWorkers) / patientClients)
  const patient = []
  for (let i = 0; i < patientClients; i++) patient.push({ client: await cluster.client(longTimeout), workers })
  const hasty = [{ client: await cluster.client(shortTimeout), workers: hastyWorkers }]
  const reader = await cluster.client(longTimeout)
  const probing = await cluster.client(longTimeout)
  await fault.prepare?.(world)
  return { reader, probing, patient, hasty }
}

/** Rejects when `signal` aborts, or nobody wants to know any more. */
async function abortOf(signal: AbortSignal, over: AbortSignal): Promise<never> {
  await once(signal, 'abort', { signal: over })
  throw signal.reason
}

/** Rejects where nothing could be begun, or its signal ends it. */
export async function run(options: RunOptions): Promise<Outcome> {
  const { fault, signal } = options
  const over = new AbortController()
  const world = await World.start(fault, patienceMs)
  try {
    signal?.throwIfAborted()
    const ended = signal === undefined ? never : abortOf(signal, over.signal)
    const clients = Promise.race([beginning(options, world), ended])
    return await Promise.race([new Run(options, world, await clients).outcome(), ended])
  } finally {
    over.abort()
    await world.close()
  }
}

class Run {
  readonly #options: RunOptions
  readonly #world: World
  readonly #clients: Clients
  readonly #ledgers = new Map<string, readonly string[]>()
  /** Of the probes. */
  readonly #revs = new Map<string, number>()
  readonly #violations: string[] = []
  readonly #writesPerSecond: number[] = []
  readonly #usualMs: number[] = []
  readonly #waitsMs: number[] = []
  readonly #hits: Record<string, number> = {}
  #strikes = 0
  #operations = 0
  #records = 0

  constructor(options: RunOptions, world: World, clients: Clients) {
    this.#options = options
    this.#world = world
    this.#clients = clients
  }

  async outcome(): Promise<Outcome> {
    await this.#work().catch((error: unknown) => {
      this.#violations.push(error instanceof Error ? error.message : String(error))
    })
    this.#violations.push(...this.#world.alarms(this.#options.fault.allows))
    return {
      strikes: this.#strikes,
      operations: this.#operations,
      callers: this.#options.pace.workers,
      writesPerSecond: this.#writesPerSecond,
      usualMs: this.#usualMs,
      waitsMs: this.#waitsMs,
      records: this.#records,
      hits: this.#hits,
      violations: this.#violations,
    }
  }

  async #work(): Promise<void> {
    const { fault, first, strikes, pace } = this.#options
    const { cluster } = this.#world
    const { reader, probing, patient, hasty } = this.#clients
    const watcher = new Watcher(reader, 'probe-')
    for (let n = first; n < first + strikes; n++) {
      await this.#world.settled()
      const histories = new Histories()
      const probes = new Probes({
        ...{ client: probing, partitions, name: `probe-${n}`, histories },
        onNews: () => cluster.tell(),
      })
      const load = new Load({ name: `s${n}`, histories, keys: pace.keys, patient, hasty })
      await this.#strike(n, probes, load)
      const operations = histories.operations
      const finals = await readFinals(reader, histories)
      this.#options.tamper?.(histories, finals)
      this.#violations.push(...wrongWith(histories, finals))
      this.#operations += operations
      for (const [key, ids] of finals.ledgers) this.#ledgers.set(key, ids)
      for (const key of probes.keys) this.#revs.set(key, finals.counters.get(key)!)
      await watcher.seen(this.#revs)
    }
    await this.#world.settled()
    this.#violations.push(...(await watcher.end(this.#revs)))
    if (fault.auditsLogs ?? true) await this.#audit()
  }

  /** R1 */
  async #strike(n: number, probes: Probes, load: Load): Promise<void> {
    const { fault, pace, say } = this.#options
    const { cluster } = this.#world
    const answered = (sinceMs: number, of: readonly number[], what: string) =>
      cluster.until(() => probes.answered(sinceMs, of), `${fault.name} ${n + 1}: ${what}`)
    probes.begin()
    load.begin()
    let wound: Wound
    let rate: number
    let usualMs: number
    try {
      await delay(pace.beforeMs / 2)
      const [sinceMs, writes] = [performance.now(), load.writes]
      await delay(pace.beforeMs / 2)
      await answered(sinceMs, allPartitions, 'every partition answers before the strike')
      rate = (load.writes - writes) / ((performance.now() - sinceMs) / 1_000)
      usualMs = Math.round(probes.usualMs(sinceMs))
      probes.struck()
      this.#strikes++
      const struckMs = performance.now()
      wound = await fault.strike(this.#world, n)
      if (wound.openMs !== undefined) await delay(wound.openMs)
      else await answered(struckMs, wound.partitions, 'every partition that was hit answers')
      const healedMs = performance.now()
      await wound.heal()
      await answered(healedMs, allPartitions, 'every partition answers after it is healed')
      await delay(pace.afterMs)
    } finally {
      // What has no answer yet ends by its timeout.
      await Promise.all([load.stop(), probes.stop()])
    }
    const waitsMs = wound.partitions.map((partition) => Math.round(probes.waitMs(partition)))
    this.#writesPerSecond.push(Math.round(rate))
    this.#usualMs.push(usualMs)
    this.#waitsMs.push(...waitsMs)
    const hit = wound.hit?.()
    if (hit !== undefined) this.#hits[hit] = (this.#hits[hit] ?? 0) + 1
    const waits = waitsMs.length === 0 ? '' : `, answers in ${usualMs} ms, waits up to ${Math.max(...waitsMs)} ms`
    say(`  ${n + 1}: ${Math.round(rate)} writes/s${waits}${hit === undefined ? '' : `, ${hit}`}`)
  }

  /** R2 */
  async #audit(): Promise<void> {
    const { cluster } = this.#world
    const replicas: Replica[] = (await this.#world.statuses()).flatMap(({ node, status }) =>
      status.partitions
        .filter(({ role }) => role === 'owner' || role === 'standby')
        .map(({ partition, progress: { appliedSeq, stateHash } }) => {
          return { of: node.name, partition, seq: appliedSeq, hash: stateHash }
        }),
    )
    const { records, wrong } = await auditLogs((await cluster.ports()).changelog, this.#ledgers, replicas)
    this.#records = records
    this.#violations.push(...wrong)
  }
}
