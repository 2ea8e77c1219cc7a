/**
 * One run from one seed: a plan is drawn, and the cluster lives through its rounds of quiet, faults, healing and quiet, under work all the
 * time. Then everything that clients, watchers, nodes and logs have to say is compared (judge.ts).
 */
import type { MemoryProcess } from '../../adapters/memory/world.ts'
import { History } from '../check/history.ts'
import { wrongLists } from '../check/lists.ts'
import { wrongStaleReads, type StaleRead } from '../check/staleness.ts'
import { partitionOf } from '../../protocol/partitioning.ts'
import { SeededRandom } from '../seeded-random.ts'
import { shown, SimCluster } from './cluster.ts'
import { converge } from './convergence.ts'
import { Coverage, type Hits } from './coverage.ts'
import { workOnEntries, wrongEntries, type EntryHistory, type EntryWork } from './entries.ts'
import { Faults, healthyDisk } from './faults.ts'
import { ledgersIn, readLogs, wrongReplicas, wrongWatch } from './judge.ts'
import { Ledger } from './ledger.ts'
import { planOf, type Plan, type Round } from './plan.ts'
import { readLate, readStale } from './stale-readers.ts'
import { Strikes } from './strikes.ts'
import { StubbornClient } from './stubborn.ts'
import { contestedIn, partitionsOf, tableOf } from './under-way.ts'
import { watchAll, work, type LedgerHistory, type Seen } from './workload.ts'

/** As JSON goes from one process to another. */
export interface Run {
  readonly seed: number
  /** What was wrong, a sentence each. */
  readonly wrong: readonly string[]
  /** Virtual. */
  readonly simulatedMs: number
  readonly operations: number
  readonly acknowledged: number
  readonly doubtful: number
  /** Of observer events, by their type. */
  readonly events: Readonly<Record<string, number>>
  readonly hits: Hits
  /** Of each round, virtual. */
  readonly convergedMs: readonly number[]
  readonly fingerprint: string
  /** What happened, line by line; empty where nothing was wrong. */
  readonly trace: string
}

export interface SimulateOptions {
  /** Gives the whole trace, whatever came of it. Default `false`. */
  readonly trace?: boolean
}

const keys = ['k0', 'k1', 'k2', 'k/3', 'ключ']
/** Longer than a worker's rest with its last operation and all repetitions, and than an orderly end. */
const windUpMs = 200_000

export async function simulate(seed: number, { trace = false }: SimulateOptions = {}): Promise<Run> {
  const life = new Life(seed)
  const wrong: string[] = []
  try {
    await life.run(wrong)
  } catch (error) {
    wrong.push(error instanceof Error ? (error.stack ?? String(error)) : String(error))
  } finally {
    await life.cluster.close()
  }
  return life.report(wrong, trace)
}

class Life {
  readonly cluster: SimCluster
  readonly #seed: number
  readonly #plan: Plan
  readonly #random: SeededRandom
  readonly #faults: Faults
  readonly #strikes: Strikes
  readonly #coverage = new Coverage()
  readonly #history: LedgerHistory = new History()
  readonly #seen: Seen[] = []
  readonly #staleReads: StaleRead[] = []
  readonly #entries: EntryHistory = { puts: [], reads: [] }
  readonly #convergedMs: number[] = []
  #work: 'none' | 'some' | 'much' = 'some'

  constructor(seed: number) {
    this.#seed = seed
    // What a plan draws is drawn before there is a world.
    const plan = planOf(new SeededRandom(seed).fork('plan'))
    const { partitions, settings, leaseMs, zones } = plan
    const zoneOf = (name: string) => `zone ${name.charCodeAt(0) % zones}`
    this.cluster = new SimCluster({ seed, partitions, definitions: [Ledger], settings, leaseMs, zoneOf })
    this.#plan = plan
    this.#random = this.cluster.random
    const random = this.#random.fork('faults')
    const restart = (name: string) => {
      if (!this.cluster.nodes.has(name)) this.cluster.start(name)
    }
    const setClock = ({ name, clock }: MemoryProcess) => {
      clock.driftPpm = 0
      clock.skewMs = plan.skewMs[name] ?? 0
    }
    this.cluster.onStart = setClock
    this.#faults = new Faults({ cluster: this.cluster, random, pace: plan.pace, setClock, restart })
    this.#strikes = new Strikes({
      cluster: this.cluster,
      plan,
      random: this.#random.fork('strikes'),
      faults: this.#faults,
      coverage: this.#coverage,
    })
  }

  async run(wrong: string[]): Promise<void> {
    const { cluster } = this
    const { clock } = cluster
    const plan = this.#plan
    cluster.note(`plan ${JSON.stringify(plan)}`)
    for (const name of plan.nodes) {
      healthyDisk(cluster, name)
      cluster.start(name)
    }
    await cluster.settled(60_000)
    const watching = await clock.settle(watchAll(cluster.outsider('watcher'), plan.pageChanges, this.#seen), windUpMs)
    const clients = ['x', 'y'].map((name) => ({ name, ...cluster.client(name) }))
    // It misses some news of who owns what, and goes on asking who did.
    clients[1]!.process.links.hub.dropProbability = plan.deafness
    const restMs = (chance: SeededRandom) => {
      if (this.#work === 'none') return undefined
      return chance.between(0, this.#work === 'much' ? plan.restsMs.busy : plan.restsMs.idle)
    }
    const working = clients.map(({ name, session, process }) =>
      work({
        session,
        process,
        random: this.#random.fork(name),
        keys,
        workers: plan.workers,
        restMs,
        timeoutMs: [2_000, 15_000],
        history: this.#history,
      }),
    )
    if (plan.standbys > 0) {
      for (const { name, session, process } of clients) {
        const random = this.#random.fork(`stale reads of ${name}`)
        working.push(readStale({ session, process, random, keys, restMs, reads: this.#staleReads }))
      }
    }
    const stubborn = plan.stubborn ? this.#stubborn() : undefined
    for (const round of plan.rounds) {
      await this.#round(round, clients, stubborn, wrong)
      if (wrong.length > 0) break
    }
    this.#work = 'none'
    await clock.settle(Promise.all(working), windUpMs)
    await this.#judge(wrong)
    await clock.settle(watching.close(), 1_000)
  }

  #stubborn(): StubbornClient {
    const { cluster } = this
    const { nodes, partitions } = this.#plan
    const name = 'stubborn'
    const random = this.#random.fork(name)
    return new StubbornClient({
      name,
      ...cluster.outsider(name),
      random,
      keys,
      nodes,
      partitions,
      contested: () => contestedIn(cluster),
      tardy: () => {
        const hit = this.#faults.hitBy('late appends')
        return hit && { owner: hit.name, partitions: partitionsOf(hit, 'owner') }
      },
      history: this.#history,
    })
  }

  async #round(
    round: Round,
    clients: readonly Client[],
    stubborn: StubbornClient | undefined,
    wrong: string[],
  ): Promise<void> {
    const { cluster } = this
    const { clock } = cluster
    await clock.advance(round.calmMs)
    this.#work = 'much'
    const untilMs = clock.monotonic() + round.faultsMs
    const work = [this.#strikes.until(untilMs)]
    if (stubborn !== undefined) work.push(stubborn.until(untilMs))
    if (this.#plan.kinds.includes('late log')) work.push(this.#readLate(clients[0]!, untilMs))
    if (this.#plan.entries !== 'none') work.push(this.#workOnEntries(clients, untilMs))
    await clock.settle(Promise.all(work), round.faultsMs + windUpMs)
    this.#work = 'some'
    this.#faults.heal()
    await this.#departed()
    cluster.note('healed')
    const converged = await converge(cluster, this.#plan, clients[0]!.session)
    if (typeof converged === 'string') wrong.push(`not as it should be 30 s after everything healed: ${converged}`)
    else this.#convergedMs.push(converged)
    cluster.note(`converged: ${converged}`)
    await clock.advance(round.restMs)
  }

  #readLate(other: Client, untilMs: number): Promise<void> {
    const { partitions } = this.#plan
    const behind = () => {
      const missed = partitionsOf(this.#faults.hitBy('late log'), 'standby')
      return keys.filter((key) => missed.includes(partitionOf(key, partitions)))
    }
    const random = this.#random.fork(`late reads ${untilMs}`)
    return readLate({
      ...this.cluster.client(`late-reader-${Math.round(untilMs)}`),
      random,
      other: { ...other, history: this.#history },
      keys: behind,
      untilMs,
      reads: this.#staleReads,
    })
  }

  #workOnEntries(clients: readonly Client[], untilMs: number): Promise<void> {
    const { cluster } = this
    const { entries, partitions } = this.#plan
    const strike: EntryWork['strike'] = (kind, key) => {
      const owner = cluster.nodes.get(tableOf(cluster.world)?.entries[partitionOf(key, partitions)]?.owner?.id ?? '')
      if (owner !== undefined && this.#faults.begin(kind, owner)) cluster.note(`${kind} ${owner.name} for ${key}`)
    }
    return workOnEntries({
      sessions: clients.map(({ session }) => session),
      process: clients[0]!.process,
      random: this.#random.fork(`entries ${untilMs}`),
      untilMs,
      history: this.#entries,
      name: `entry-${untilMs}`,
      strike: entries === 'struck' ? strike : () => {},
    })
  }

  /** Whoever was leaving has left, and every node is started again. */
  async #departed(): Promise<void> {
    const { cluster } = this
    const gone = () => [...cluster.nodes.values()].every(({ leaving }) => !leaving)
    await cluster.clock.runUntil(gone, windUpMs)
    for (const name of this.#plan.nodes) if (!cluster.nodes.has(name)) cluster.start(name)
  }

  async #judge(wrong: string[]): Promise<void> {
    const { cluster } = this
    const { clock, world, partitions, events } = cluster
    const ledgers = ledgersIn(readLogs(world, partitions))
    const revs = new Map<string, number>()
    let at = 0
    const upToDate = () => {
      for (; at < this.#seen.length; at++) revs.set(this.#seen[at]!.key, this.#seen[at]!.rev)
      return [...ledgers].every(([key, { length }]) => (revs.get(key) ?? 0) >= length)
    }
    await clock.runUntil(upToDate, 30_000).catch(() => {})
    const logs = readLogs(world, partitions)
    wrong.push(
      ...wrongStaleReads({
        reads: this.#staleReads,
        operationsOf: (key) => this.#history.of(key),
        clientOf: ({ client }) => client.slice(0, client.lastIndexOf('-')),
        lists: ledgersIn(logs),
      }),
      ...wrongLists(this.#history, ledgersIn(logs), clock.monotonic()),
      ...wrongReplicas(cluster, logs),
      ...wrongWatch(this.#seen, ledgers),
      ...wrongEntries(this.#entries),
    )
    for (const { atMs, node, event } of events) {
      if (bugs.has(event.type)) wrong.push(`${atMs.toFixed(1)} ${node} ${shown(event)}`)
    }
  }

  report(wrong: readonly string[], trace: boolean): Run {
    const { cluster } = this
    const outcomes = [...this.#history].map(({ outcome }) => outcome.kind)
    const events: Record<string, number> = {}
    for (const { event } of cluster.events) events[event.type] = (events[event.type] ?? 0) + 1
    return {
      seed: this.#seed,
      wrong,
      simulatedMs: cluster.clock.monotonic(),
      operations: outcomes.length + this.#entries.puts.length + this.#entries.reads.length + this.#staleReads.length,
      acknowledged: outcomes.filter((kind) => kind === 'ok').length,
      doubtful: outcomes.filter((kind) => kind === 'unknown').length,
      events,
      hits: this.#coverage.hits,
      convergedMs: this.#convergedMs,
      fingerprint: cluster.fingerprint.toString(),
      trace: wrong.length > 0 || trace ? cluster.trace() : '',
    }
  }
}

type Client = ReturnType<SimCluster['client']>

/** Events that tell of a bug, whatever befell the node. */
const bugs: ReadonlySet<string> = new Set(['partition.stopped', 'partition.hash-mismatch', 'handler.threw'])
