/**
 * A cluster that does nothing but watch itself, for as long as one likes: the cores that say who lives and who does not, driven by virtual time.
 * They are core/leases.ts, which alone evicts, and core/membership.ts with core/detector.ts, which suspect.
 *
 * W1. Of whatever a node sends to another by gossip, `loss` is lost; so are questions whether a node has a connection, and answers to them.
 * W2. What goes to the registry and comes from it goes by TCP (connection.ts). Of these connections a node has two; losses on one tell
 *     nothing of the other. While it dials one of them anew it has the other, for those who ask.
 * W3. A node stalls for `stallMs` now and then: none of its events fires meanwhile, and all of them after it.
 * W4. Now and then a node is killed: its connection is gone at once, and another process of it begins `awayMs` after its eviction.
 * W5. One node leads, and says who is dead; who is dead of the leader's say anybody says. There is another one as soon as it is evicted.
 * W6. An eviction counts when the registry has written it: by then the lease may have been renewed. It is false where the process lives.
 */
import { neighbours } from '../../actors/incarnation.ts'
import {
  defaultMembershipSettings,
  judgeEveryMs,
  leaseSettingsOf,
  missedMs,
  patienceMs,
  spareForMs,
  type MembershipSettings,
} from '../../actors/membership.ts'
import { VirtualClock, type NodeClock } from '../../src/adapters/memory/virtual-clock.ts'
import { heard, noArrivals, phi, suspectPhi, type Arrivals } from '../../src/core/detector.ts'
import {
  beginLeaseWatch,
  dropLease,
  foundAbsent,
  judgeLeases,
  observeLease,
  quietLeases,
  registryAnswered,
  watchRestarted,
  type LeaseSettings,
  type LeaseWatch,
  type QuietLease,
  type Verdict,
} from '../../src/core/leases.ts'
import {
  answerDigest,
  beat,
  beginMembership,
  digestInReturn,
  digestOf,
  forgetSilent,
  mergeNews,
  newsOf,
  peersOf,
  type Digest,
  type MemberDetails,
  type MemberEvent,
  type Membership,
  type MemberVersion,
  type News,
} from '../../src/core/membership.ts'
import { defaultGossipSettings } from '../../src/membership/gossiper.ts'
import { fewLeases } from '../../src/membership/lease-watch.ts'
import { absenceMs } from '../../src/membership/presence.ts'
import { incarnation, type NodeId } from '../../src/protocol/ids.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'
import { Connection, type Network } from './connection.ts'

export interface SoakSettings {
  readonly nodes: number
  /** So many nodes watch the leases, and may lead. Each does in a cluster; more of them tell no more. */
  readonly watchers: number
  /** Without it leases alone are looked at, which takes a tenth of the time. */
  readonly gossip: boolean
  readonly seed: number
  /** Probability that a packet is lost. */
  readonly loss: number
  readonly stallMs: number
  /** Between two stalls of a node, ms, on average. */
  readonly stallEveryMs: number
  /** Between two kills of the cluster, ms, on average. */
  readonly killEveryMs: number
  readonly membership: MembershipSettings
}

/** 5 % loss, stalls of 500 ms, and nodes as they are by default. */
export const usual = {
  loss: 0.05,
  stallMs: 500,
  stallEveryMs: 30_000,
  killEveryMs: 120_000,
  membership: defaultMembershipSettings,
} as const satisfies Partial<SoakSettings>

export interface SoakResult {
  hours: number
  kills: number
  /** From the kill to the eviction, ms. */
  readonly detections: number[]
  falseEvictions: number
  /** Of one node by another, while it lived. */
  falseSuspicions: number
  /** From the kill to the suspicion by each of the others that did not know by then, ms. */
  readonly suspicions: number[]
}

const { tickMs, fanout, forgetAfterMs } = defaultGossipSettings

const latencyMs = [0.2, 5] as const
const awayMs = 5_000

const details: MemberDetails = { host: 'h', zone: 'z', version: '1', load: 0, leaving: false, partitions: [] }

type Gossip =
  | { readonly kind: 'digest'; readonly from: Process; readonly digest: Digest }
  | {
      readonly kind: 'answer'
      readonly from: Process
      readonly wanted: readonly MemberVersion[]
      readonly news: readonly News[]
    }
  | { readonly kind: 'news'; readonly news: readonly News[] }

export class SoakWorld implements Network {
  readonly clock = new VirtualClock()
  readonly random: SeededRandom
  readonly settings: SoakSettings
  readonly registry = new Registry(this)
  readonly result: SoakResult = {
    hours: 0,
    kills: 0,
    detections: [],
    falseEvictions: 0,
    falseSuspicions: 0,
    suspicions: [],
  }
  /** The present process of each node, by the node's number. */
  readonly processes: Process[] = []
  leader = 0

  constructor(settings: SoakSettings) {
    this.settings = settings
    this.random = new SeededRandom(`soak/${settings.seed}`)
    for (let n = 0; n < settings.nodes; n++) this.begin(n)
    this.#killLater()
  }

  async run(hours: number): Promise<void> {
    await this.clock.advance(hours * 3_600_000)
    this.result.hours += hours
  }

  /** Of something that comes by chance, once in so many ms. */
  wait(everyMs: number): number {
    return -Math.log(1 - this.random.next()) * everyMs
  }

  loses(): boolean {
    return this.random.chance(this.settings.loss)
  }

  latencyMs(): number {
    return this.random.between(...latencyMs)
  }

  /** Names a process that is gone as well. */
  process(id: NodeId): Process | undefined {
    return this.processes.find((process) => process.id === id)
  }

  begin(n: number): void {
    this.processes[n] = new Process(this, n, this.registry.join(idOf(n)))
  }

  /** W6 */
  evicted(id: NodeId): void {
    const { result, clock, settings } = this
    const process = this.process(id)!
    if (process.killedAtMs === undefined) result.falseEvictions++
    else result.detections.push(clock.monotonic() - process.killedAtMs)
    process.kill()
    const n = process.number
    if (n === this.leader) {
      const others = this.processes.filter(
        (other) => other.number < settings.watchers && other.killedAtMs === undefined && other !== process,
      )
      this.leader = this.random.pick(others)?.number ?? this.leader
    }
    clock.setTimeout(() => this.begin(n), awayMs)
  }

  /** One at a time, so that a majority of three is left. */
  #killLater(): void {
    this.clock.setTimeout(() => {
      this.#killLater()
      const live = this.processes.filter(({ killedAtMs }) => killedAtMs === undefined)
      if (live.length < this.processes.length) return
      this.random.pick(live)!.kill()
      this.result.kills++
    }, this.wait(this.settings.killEveryMs))
  }
}

/** The leases, by the ids of nodes. What it says it says in the order in which it happened. */
class Registry {
  readonly #world: SoakWorld
  readonly leases = new Map<NodeId, { readonly revision: number; readonly alive: boolean }>()
  #revision = 0

  constructor(world: SoakWorld) {
    this.#world = world
  }

  /** Gives the revision of the new lease. */
  join(id: NodeId): number {
    return this.#write(id, true)
  }

  /** Gives the revision of then: another one than was expected is of the same node's other way, unless it is dead. */
  renew(id: NodeId, revision: number): number {
    const lease = this.leases.get(id)!
    return lease.alive && lease.revision === revision ? this.#write(id, true) : lease.revision
  }

  evict({ key, revision }: Verdict): void {
    const id = key as NodeId
    const lease = this.leases.get(id)
    if (lease?.alive !== true || lease.revision !== revision) return
    this.#write(id, false)
    this.#world.evicted(id)
  }

  #write(id: NodeId, alive: boolean): number {
    const revision = ++this.#revision
    this.leases.set(id, { revision, alive })
    for (const process of this.#world.processes) process.tell(() => process.seeLease(id, revision, alive))
    return revision
  }
}

class Process {
  readonly number: number
  readonly id: NodeId
  killedAtMs: number | undefined
  readonly #world: SoakWorld
  readonly #clock: NodeClock
  readonly #main: Connection
  readonly #spare: Connection
  readonly #watches: boolean
  readonly #leases: LeaseSettings
  #revision: number
  #renewing = false
  #mainAtMs: number
  #polling = false
  #watch: LeaseWatch = beginLeaseWatch
  readonly #asking = new Map<string, number>()
  #membership: Membership
  readonly #arrivals = new Map<NodeId, Arrivals>()
  readonly #suspected = new Set<NodeId>()
  #tickedAtMs: number
  #lagMs = 0

  /** `boot`: the revision of its new lease. */
  constructor(world: SoakWorld, number: number, boot: number) {
    this.#world = world
    this.number = number
    this.id = idOf(number)
    this.#clock = world.clock.nodeClock()
    this.#main = new Connection(world, this.#clock, () => {
      this.#watch = watchRestarted(this.#watch, this.#nowMs)
    })
    this.#spare = new Connection(world, this.#clock)
    this.#watches = number < world.settings.watchers
    this.#leases = leaseSettingsOf(world.settings.membership)
    this.#revision = boot
    this.#mainAtMs = this.#clock.monotonic()
    this.#tickedAtMs = this.#clock.monotonic()
    const self = { id: this.id, boot, incarnation: incarnation(String(boot)), details }
    this.#membership = beginMembership(self, this.#clock.monotonic())
    const { membership } = world.settings
    this.#every(membership.renewEveryMs, () => this.#renew())
    if (world.settings.gossip) this.#every(tickMs, () => this.#tick())
    if (this.#watches) {
      this.#every(membership.renewEveryMs * Math.max(1, world.settings.nodes / fewLeases), () => this.#poll())
      this.#every(judgeEveryMs(membership), () => this.#look())
    }
    this.#stallLater()
  }

  get #nowMs(): number {
    return this.#clock.monotonic()
  }

  kill(): void {
    this.killedAtMs ??= this.#nowMs
    this.#clock.crash()
  }

  /** From the registry. */
  tell(what: () => void): void {
    if (this.#watches && this.killedAtMs === undefined) this.#main.receive(what)
  }

  seeLease(id: NodeId, revision: number, alive: boolean): void {
    this.#watch = alive ? observeLease(this.#watch, id, revision, this.#nowMs) : dropLease(this.#watch, id)
  }

  /** From another node, unless it is lost (W1). */
  gossip(gossip: Gossip): void {
    if (!this.#world.loses()) this.#clock.setTimeout(() => this.#receive(gossip), this.#world.latencyMs())
  }

  #every(ms: number, run: () => void): void {
    this.#clock.setTimeout(() => {
      run()
      this.#every(ms, run)
    }, ms)
  }

  #stallLater(): void {
    const { clock, settings } = this.#world
    clock.setTimeout(() => {
      if (this.killedAtMs !== undefined) return
      this.#clock.freeze()
      clock.setTimeout(() => this.#clock.thaw(), settings.stallMs)
      this.#stallLater()
    }, this.#world.wait(settings.stallEveryMs))
  }

  get isConnected(): boolean {
    return this.killedAtMs === undefined && (this.#main.up || this.#spare.up)
  }

  /** As lease-keeper.ts. */
  #renew(): void {
    if (this.#renewing) return
    this.#renewing = true
    const expected = this.#revision
    const { registry, settings } = this.#world
    let done = false
    const end = () => {
      if (!done) this.#renewing = false
      done = true
    }
    const renewBy = (way: Connection, failed: () => void) =>
      way.request(
        () => registry.renew(this.id, expected),
        (revision) => {
          if (way === this.#main) this.#mainAtMs = this.#nowMs
          this.#revision = Math.max(this.#revision, revision)
          this.#answered()
          end()
        },
        failed,
      )
    let second = false
    const bySpare = () => {
      if (done || second || this.#nowMs - this.#mainAtMs > spareForMs(settings.membership)) return
      second = true
      renewBy(this.#spare, end)
    }
    renewBy(this.#main, () => {
      bySpare()
      if (!second) end()
    })
    this.#clock.setTimeout(bySpare, patienceMs(settings.membership))
  }

  #answered(): void {
    this.#watch = registryAnswered(this.#watch, this.#nowMs, this.#leases)
  }

  #poll(): void {
    if (this.#polling) return
    this.#polling = true
    this.#main.request(
      () => [...this.#world.registry.leases],
      (leases) => {
        this.#polling = false
        this.#answered()
        for (const [id, { revision, alive }] of leases) this.seeLease(id, revision, alive)
      },
      () => (this.#polling = false),
    )
  }

  /** W5 */
  #mayDeclare(id: string): boolean {
    const { leader } = this.#world
    return id !== this.id && (this.number === leader || id === idOf(leader))
  }

  #look(): void {
    for (const quiet of quietLeases(this.#watch, this.#nowMs, this.#leases))
      if (this.#mayAskAfter(quiet)) this.#askAfter(quiet)
    this.#judge()
  }

  #judge(): void {
    const { registry } = this.#world
    const [watch, verdicts] = judgeLeases(this.#watch, this.#nowMs, this.#leases)
    this.#watch = watch
    for (const verdict of verdicts)
      if (this.#mayDeclare(verdict.key)) this.#main.request(() => registry.evict(verdict), nothing, nothing)
  }

  /** As lease-watch.ts and incarnation.ts. */
  #mayAskAfter({ key, quietForMs, foundAbsent: found }: QuietLease): boolean {
    const { leader, settings, processes } = this.#world
    const againMs = found ? judgeEveryMs(settings.membership) / 2 : this.#leases.absentMs
    if (!this.#mayDeclare(key) || this.#nowMs - (this.#asking.get(key) ?? -Infinity) < againMs) return false
    if (quietForMs >= missedMs(settings.membership) || this.number === leader) return true
    const others = processes.filter(({ id, killedAtMs }) => id !== key && killedAtMs === undefined)
    return others.slice(0, neighbours).includes(this)
  }

  /** The server knows who has a connection. */
  #askAfter(quiet: Verdict): void {
    const sinceMs = this.#nowMs
    this.#asking.set(quiet.key, sinceMs)
    const lost = this.#world.loses() || this.#world.loses()
    const answered = (absent: boolean) => {
      if (this.#asking.get(quiet.key) === sinceMs) this.#asking.delete(quiet.key)
      if (!absent) return
      this.#watch = foundAbsent(this.#watch, quiet, this.#nowMs)
      this.#judge()
    }
    if (lost) return void this.#clock.setTimeout(() => answered(false), absenceMs)
    this.#world.clock.setTimeout(() => {
      const absent = this.#world.process(quiet.key as NodeId)?.isConnected === false
      this.#clock.setTimeout(() => answered(absent), this.#world.latencyMs())
    }, this.#world.latencyMs())
  }

  /** As gossiper.ts. */
  #tick(): void {
    const nowMs = this.#nowMs
    this.#lagMs = Math.max(0, nowMs - this.#tickedAtMs - tickMs)
    this.#tickedAtMs = nowMs
    const [membership, events] = forgetSilent(beat(this.#membership, nowMs), nowMs, forgetAfterMs)
    this.#membership = membership
    this.#note(events, nowMs)
    this.#suspect(nowMs)
    const { random, processes } = this.#world
    const chance = () => random.next()
    const peers = new Set(peersOf(membership, fanout, chance))
    if (membership.members.size < processes.length) {
      const strangers = processes.filter(({ id }) => id !== this.id && !membership.members.has(id))
      for (const { id } of strangers.slice(0, fanout)) peers.add(id)
    }
    for (const id of peers) {
      this.#world.process(id)!.gossip({ kind: 'digest', from: this, digest: digestOf(membership, chance) })
    }
  }

  #receive(gossip: Gossip): void {
    const nowMs = this.#nowMs
    if (gossip.kind === 'digest') {
      const { from, digest } = gossip
      from.gossip({ kind: 'answer', from: this, ...answerDigest(this.#membership, digest) })
      const inReturn = digestInReturn(this.#membership, digest)
      if (inReturn !== undefined) from.gossip({ kind: 'digest', from: this, digest: inReturn })
      return
    }
    const [membership, events] = mergeNews(this.#membership, gossip.news, nowMs)
    this.#membership = membership
    this.#note(events, nowMs)
    if (gossip.kind === 'answer' && gossip.wanted.length > 0) {
      gossip.from.gossip({ kind: 'news', news: newsOf(membership, gossip.wanted) })
    }
  }

  #note(events: readonly MemberEvent[], nowMs: number): void {
    for (const event of events) {
      if (event.type === 'revised') continue
      const { id } = event.member
      if (event.type === 'forgotten') {
        this.#arrivals.delete(id)
        this.#suspected.delete(id)
        continue
      }
      const former = event.type === 'replaced' ? noArrivals : (this.#arrivals.get(id) ?? noArrivals)
      this.#arrivals.set(id, heard(former, nowMs))
    }
  }

  #suspect(nowMs: number): void {
    const { result } = this.#world
    for (const [id, arrivals] of this.#arrivals) {
      if (phi(arrivals, nowMs, this.#lagMs) < suspectPhi) {
        this.#suspected.delete(id)
        continue
      }
      if (this.#suspected.has(id)) continue
      this.#suspected.add(id)
      const { killedAtMs } = this.#world.process(id)!
      if (killedAtMs === undefined) result.falseSuspicions++
      else result.suspicions.push(nowMs - killedAtMs)
    }
  }
}

const nothing = () => {}
const idOf = (n: number) => `node-${n}` as NodeId
