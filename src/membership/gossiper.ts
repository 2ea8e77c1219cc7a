/**
 * Gossip over NATS subjects: at each tick this node beats, and compares notes with a few peers chosen by chance. What it hears feeds
 * the failure detector. It informs, for people and for choices between equals; it never decides who is dead or who owns what (O5).
 */
import { heard, noArrivals, phi, suspectPhi, type Arrivals } from '../core/detector.ts'
import { decodeGossip, encodeGossip, type Gossip } from '../core/gossip.ts'
import {
  answerDigest,
  beat,
  beginMembership,
  chosenOf,
  digestInReturn,
  digestOf,
  forgetSilent,
  maxMembers,
  mergeNews,
  newsOf,
  peersOf,
  type Member,
  type MemberDetails,
  type MemberEvent,
  type Membership,
} from '../core/membership.ts'
import type { Clock, Timer } from '../ports/clock.ts'
import { gauge, type Metric } from '../ports/metrics.ts'
import type { Observer } from '../ports/observer.ts'
import type { Random } from '../ports/random.ts'
import type { Message, Subscription, Transport } from '../ports/transport.ts'
import type { NodeId, NodeRef } from '../protocol/ids.ts'
import type { Subjects } from '../protocol/subjects.ts'

export interface GossiperOptions {
  readonly self: NodeRef
  /** The revision at which this process took its lease: it orders processes of one node. */
  readonly boot: number
  readonly transport: Transport
  readonly clock: Clock
  readonly random: Random
  readonly observer: Observer
  readonly subjects: Subjects
  readonly settings: GossipSettings
  /** What this node says of itself, asked at each tick. */
  readonly details: () => MemberDetails
  /** Nodes that the registry knows: whom to talk to before anything was heard. */
  readonly seeds: () => readonly NodeId[]
}

export interface GossipSettings {
  /** Between two ticks, ms. */
  readonly tickMs: number
  /** Peers at each tick. */
  readonly fanout: number
  /** A member of whom nothing was heard for so long is forgotten, ms. */
  readonly forgetAfterMs: number
}

export const defaultGossipSettings: GossipSettings = { tickMs: 200, fanout: 2, forgetAfterMs: 60_000 }

/** A member as this node sees it. */
export interface SeenMember {
  readonly member: Member
  /** How unlikely its silence is; from 8 on it counts as suspected. */
  readonly phi: number
  readonly suspected: boolean
}

export class Gossiper {
  readonly #options: GossiperOptions
  readonly #arrivals = new Map<NodeId, Arrivals>()
  readonly #suspected = new Set<NodeId>()
  readonly #subject: string
  #membership: Membership
  #subscription: Subscription | undefined
  #timer: Timer | undefined
  #tickedAtMs: number
  #lagMs = 0
  #stopped = false

  constructor(options: GossiperOptions) {
    const { self, boot, clock, details, subjects } = options
    this.#options = options
    this.#subject = subjects.gossip(self.id)
    this.#membership = beginMembership({ ...self, boot, details: details() }, clock.monotonic())
    this.#tickedAtMs = clock.monotonic()
  }

  start(): void {
    this.#subscription = this.#options.transport.subscribe(this.#subject, (message) => this.#receive(message))
    this.#tick()
  }

  stop(): void {
    this.#stopped = true
    this.#subscription?.close()
    this.#options.clock.clearTimeout(this.#timer)
  }

  /** Everyone this node has heard of, itself included. */
  members(): readonly SeenMember[] {
    const nowMs = this.#options.clock.monotonic()
    return [...this.#membership.members.values()].map(({ member }) => {
      const value = member.id === this.#options.self.id ? 0 : this.#phi(member.id, nowMs)
      return { member, phi: value, suspected: value >= suspectPhi }
    })
  }

  metrics(): readonly Metric[] {
    const { members, forgotten } = this.#membership
    return [gauge('holdfast_members', members.size + forgotten.size, maxMembers)]
  }

  #tick(): void {
    if (this.#stopped) return
    const { clock, random, settings, details, seeds, self } = this.#options
    const nowMs = clock.monotonic()
    // How late this tick is tells how long this node itself was away: others' silence counts for less then.
    this.#lagMs = Math.max(0, nowMs - this.#tickedAtMs - settings.tickMs)
    this.#tickedAtMs = nowMs
    this.#membership = beat(this.#membership, nowMs, this.#changed(details()))
    const [membership, events] = forgetSilent(this.#membership, nowMs, settings.forgetAfterMs)
    this.#membership = membership
    this.#note(events, nowMs)
    this.#judge(nowMs)
    const peers = new Set(peersOf(this.#membership, settings.fanout, () => random.next()))
    const strangers = seeds().filter((id) => id !== self.id && !this.#membership.members.has(id))
    // By chance, too, where not all can be: those that never answer must not keep the others from being asked.
    const asked =
      strangers.length > settings.fanout ? chosenOf(strangers, settings.fanout, () => random.next()) : strangers
    for (const id of asked) peers.add(id)
    for (const id of peers) {
      const digest = digestOf(this.#membership, () => random.next())
      this.#send(id, { kind: 'digest', from: self.id, digest })
    }
    this.#timer = clock.setTimeout(() => this.#tick(), settings.tickMs)
  }

  /** The details if they are others than before: unchanged ones are not sent again. */
  #changed(details: MemberDetails): MemberDetails | undefined {
    const { member } = this.#membership.members.get(this.#options.self.id)!
    return JSON.stringify(member.details) === JSON.stringify(details) ? undefined : details
  }

  #receive(message: Message): void {
    const { clock, observer, self } = this.#options
    let gossip: Gossip
    try {
      gossip = decodeGossip(message.data)
    } catch {
      observer.emit({ type: 'message.dropped', subject: message.subject, reason: 'malformed' })
      return
    }
    const nowMs = clock.monotonic()
    if (gossip.kind !== 'digest') {
      const [membership, events] = mergeNews(this.#membership, gossip.news, nowMs)
      this.#membership = membership
      this.#note(events, nowMs)
    }
    if (gossip.kind === 'digest') {
      const { news, wanted } = answerDigest(this.#membership, gossip.digest)
      this.#send(gossip.from, { kind: 'answer', from: self.id, wanted, news })
      const inReturn = digestInReturn(this.#membership, gossip.digest)
      if (inReturn !== undefined) this.#send(gossip.from, { kind: 'digest', from: self.id, digest: inReturn })
    } else if (gossip.kind === 'answer' && gossip.wanted.length > 0) {
      this.#send(gossip.from, { kind: 'news', from: self.id, news: newsOf(this.#membership, gossip.wanted) })
    }
  }

  #send(to: NodeId, gossip: Gossip): void {
    const { transport, subjects } = this.#options
    transport.publish(subjects.gossip(to), encodeGossip(gossip, transport.maxPayload))
  }

  #note(events: readonly MemberEvent[], nowMs: number): void {
    const { observer, self } = this.#options
    for (const event of events) {
      const { id } = event.member
      if (event.type === 'forgotten') {
        this.#arrivals.delete(id)
        this.#suspected.delete(id)
        continue
      }
      if (event.type === 'joined') observer.emit({ type: 'member.joined', node: id, by: self.id })
      const former = event.type === 'replaced' ? noArrivals : (this.#arrivals.get(id) ?? noArrivals)
      if (event.type !== 'revised') this.#arrivals.set(id, heard(former, nowMs))
    }
  }

  #judge(nowMs: number): void {
    const { observer, self } = this.#options
    for (const id of this.#arrivals.keys()) {
      const value = this.#phi(id, nowMs)
      if (value >= suspectPhi && !this.#suspected.has(id)) {
        this.#suspected.add(id)
        observer.emit({ type: 'member.suspected', node: id, by: self.id, phi: value })
      } else if (value < suspectPhi && this.#suspected.delete(id)) {
        observer.emit({ type: 'member.trusted', node: id, by: self.id })
      }
    }
  }

  #phi(id: NodeId, nowMs: number): number {
    return phi(this.#arrivals.get(id) ?? noArrivals, nowMs, this.#lagMs)
  }
}
