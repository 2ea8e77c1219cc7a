import { describe, expect, it } from 'vitest'
import { decodeGossip, encodeGossip, maxGossipBytes, type Gossip } from '../../src/core/gossip.ts'
import {
  answerDigest,
  beat,
  beginMembership,
  digestInReturn,
  digestOf,
  mergeNews,
  newsOf,
  peersOf,
  type HostedPartition,
  type MemberDetails,
  type Membership,
} from '../../src/core/membership.ts'
import { epoch, incarnation, partitionId, seq, type NodeId } from '../../src/protocol/ids.ts'
import { maxPartitions } from '../../src/protocol/partitioning.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'

/** What a NATS server takes by default. */
const payloadBytes = 1_048_576
const fanout = 2

const hosted = (partition: number, appliedSeq: number): HostedPartition => ({
  partition: partitionId(partition),
  role: 'standby',
  epoch: epoch(1_000_000),
  appliedSeq: seq(2 ** 40 + appliedSeq),
  headLag: 1_000,
  stateHash: '0123456789abcdef',
})

const details = (partitions: readonly number[], appliedSeq: number): MemberDetails => ({
  host: 'a-host-with-a-rather-long-name.example.org',
  zone: 'europe-west-1b',
  version: '10.20.30',
  load: 123_456,
  leaving: false,
  partitions: partitions.map((partition) => hosted(partition, appliedSeq)),
})

/** Nodes that gossip as gossiper.ts has them, by messages of real bytes, in ticks that are all at once. */
class Talk {
  readonly states: Membership[] = []
  readonly random = new SeededRandom('gossip')
  /** Of all messages so far. */
  largestBytes = 0
  bytes = 0
  tick = 0
  readonly #hosts: (node: number) => readonly number[]
  readonly #mostBytes: number

  constructor(nodes: number, hosts: (node: number) => readonly number[], mostBytes = payloadBytes) {
    this.#hosts = hosts
    this.#mostBytes = mostBytes
    for (let n = 0; n < nodes; n++) this.join()
  }

  join(): number {
    const n = this.states.length
    const self = { id: `node-${n}` as NodeId, boot: 1_000_000 + n, incarnation: incarnation('anIncarnation123456789') }
    this.states.push(beginMembership({ ...self, details: details(this.#hosts(n), 0) }, 0))
    return n
  }

  /** All nodes, or those that are named, beat and talk to some; `revise`: whose details have changed. */
  round(revise: (node: number) => boolean, askers: readonly number[] = [...this.states.keys()]): void {
    this.tick++
    for (const n of this.states.keys()) {
      const changed = revise(n) ? details(this.#hosts(n), this.tick) : undefined
      this.states[n] = beat(this.states[n]!, this.tick, changed)
    }
    for (const n of askers) {
      const known = peersOf(this.states[n]!, fanout, () => this.random.next())
      // Who knows nobody has the registry's word for who is there.
      const peers = known.length > 0 ? known.map((id) => Number(id.slice(5))) : [0, 1]
      for (const peer of peers) {
        const digest = digestOf(this.states[n]!, () => this.random.next())
        this.#deliver(peer, { kind: 'digest', from: this.states[n]!.self, digest })
      }
    }
  }

  /** The least that one of them knows of others. */
  get fewestKnown(): number {
    return Math.min(...this.states.map(({ members }) => members.size))
  }

  /** How many ticks the details are behind that one has of another, on the average. */
  get meanBehind(): number {
    const behind = this.states.flatMap(({ members }) =>
      [...members.values()].map(({ member }) => {
        const own = this.states[Number(member.id.slice(5))]!.members.get(member.id)!.member
        return own.revised - member.revised
      }),
    )
    return behind.reduce((sum, ticks) => sum + ticks, 0) / behind.length
  }

  /** As after a long time: all know each other. */
  acquaint(): void {
    const everybody = this.states.map(({ members, self }) => members.get(self)!.member)
    for (const n of this.states.keys()) this.states[n] = mergeNews(this.states[n]!, everybody, this.tick)[0]
  }

  /** Each message goes to its node at once, and what that says to it. */
  #deliver(to: number, gossip: Gossip): void {
    const said = this.#sent(gossip)
    const from = Number(said.from.slice(5))
    const state = this.states[to]!
    if (said.kind !== 'digest') this.states[to] = mergeNews(state, said.news, this.tick)[0]
    if (said.kind === 'digest') {
      this.#deliver(from, { kind: 'answer', from: state.self, ...answerDigest(state, said.digest) })
      const digest = digestInReturn(state, said.digest)
      if (digest !== undefined) this.#deliver(from, { kind: 'digest', from: state.self, digest })
    } else if (said.kind === 'answer' && said.wanted.length > 0) {
      this.#deliver(from, { kind: 'news', from: state.self, news: newsOf(this.states[to]!, said.wanted) })
    }
  }

  #sent(gossip: Gossip): Gossip {
    const bytes = encodeGossip(gossip, this.#mostBytes)
    this.largestBytes = Math.max(this.largestBytes, bytes.length)
    this.bytes += bytes.length
    return decodeGossip(bytes)
  }
}

const all = Array.from({ length: maxPartitions }, (_, p) => p)

describe('gossip of 100 nodes and 512 partitions', () => {
  it('stays below what a server takes, and keeps everybody up to date, from nothing on', { timeout: 60_000 }, () => {
    // Each has the partitions that it owns, and everything changes all the time.
    const talk = new Talk(100, (node) => all.filter((p) => p % 100 === node))
    for (let n = 0; n < 9; n++) talk.round(() => true)
    expect(talk.fewestKnown).toBe(100)
    for (let n = 0; n < 12; n++) talk.round(() => true)
    expect(talk.meanBehind).toBeLessThan(8)
    expect(talk.largestBytes).toBeGreaterThan(20_000)
    expect(talk.largestBytes).toBeLessThanOrEqual(payloadBytes / 8)
  })

  it('tells one that comes and knows nothing all of it within five rounds, also where each has all partitions', () => {
    const talk = new Talk(100, () => all)
    talk.acquaint()
    const last = talk.join()
    let rounds = 0
    while (talk.states[last]!.members.size < 101 && rounds < 100) {
      talk.round((node) => node % 10 === 0, [last])
      rounds++
    }
    expect(rounds).toBeLessThanOrEqual(5)
    expect(talk.largestBytes).toBeGreaterThan(maxGossipBytes - 50_000)
    expect(talk.largestBytes).toBeLessThanOrEqual(maxGossipBytes)
  })

  it('fits into what a server takes that takes little, leaving out only what alone would not', () => {
    const talk = new Talk(20, (node) => (node === 0 ? all : [node]), 16_384)
    for (let n = 0; n < 10; n++) talk.round(() => false)
    expect(talk.largestBytes).toBeLessThanOrEqual(16_384)
    const known = talk.states.slice(1).map(({ members }) => members.size)
    expect(new Set(known)).toEqual(new Set([19]))
  })
})

describe('what a node sends', () => {
  /** In a tick, on the average, where each has three partitions that change all the time. */
  const sentBytes = (nodes: number): number => {
    const talk = new Talk(nodes, (node) => [0, 1, 2].map((p) => (node * 3 + p) % maxPartitions))
    talk.acquaint()
    for (let n = 0; n < 3; n++) talk.round(() => true)
    const before = talk.bytes
    for (let n = 0; n < 3; n++) talk.round(() => true)
    return (talk.bytes - before) / nodes / 3
  }

  it('is the same in a cluster of 10 and of 200 (M6)', () => {
    const [few, many] = [sentBytes(10), sentBytes(200)]
    expect(few).toBeGreaterThan(1_000)
    expect(many / few).toBeLessThan(1.1)
  })
})
