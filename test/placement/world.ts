/**
 * A leader's surroundings in memory: registry, transport and virtual clock are those of the simulations; who lives, and what nodes say of
 * themselves, is as the test says. Nodes answer hand-offs as they are told to.
 */
import { encodeTable, initialTable, type PlacementEntry } from '../../src/core/table.ts'
import { MemoryWorld, type MemoryProcess } from '../../src/adapters/memory/world.ts'
import type { HostedPartition, HostedRole } from '../../src/core/membership.ts'
import type { SeenMember } from '../../src/membership/gossiper.ts'
import type { NodeLease } from '../../src/membership/lease.ts'
import { decodeNodeRequest, encodeControl, type HandOffRequest } from '../../src/placement/control.ts'
import { Leader, type LeaderOptions } from '../../src/placement/leader.ts'
import { TableKeeper } from '../../src/placement/table-keeper.ts'
import { epoch, incarnation, partitionId, seq, type NodeId, type NodeRef } from '../../src/protocol/ids.ts'
import { subjectsOf } from '../../src/protocol/subjects.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'
import { Events } from '../partition/world.ts'

export const subjects = subjectsOf('test')

/** A node that placement may know: what its lease and its gossip say. */
export interface StatedNode {
  readonly ref: NodeRef
  lives: boolean
  lease: Partial<NodeLease>
  readonly hosts: Map<number, HostedPartition>
  /** What it says to a hand-off; `silence`: nothing. */
  handsOff: boolean | 'silence'
  readonly handOffs: HandOffRequest[]
}

export interface LeaderProcess {
  readonly process: MemoryProcess
  readonly tables: TableKeeper
  readonly events: Events
}

const settings = {
  standbys: 1,
  maxExtraStandbys: 2,
  planEveryMs: 200,
  stepTimeoutMs: 2_000,
  stallMs: 10_000,
  maxMoves: 4,
} as const

export class PlacementWorld {
  readonly world: MemoryWorld
  readonly #nodes = new Map<string, StatedNode>()
  readonly #closers: (() => void)[] = []

  constructor(seed: string, options: { readonly maxPayload?: number } = {}) {
    this.world = new MemoryWorld({ random: new SeededRandom(seed), ...options })
  }

  get clock() {
    return this.world.clock
  }

  node(name: string, lease: Partial<NodeLease> = {}): StatedNode {
    const ref: NodeRef = { id: name as NodeId, incarnation: incarnation(`${name}1`) }
    const node: StatedNode = { ref, lives: true, lease, hosts: new Map(), handsOff: true, handOffs: [] }
    const { transport } = this.world.start(name)
    transport.subscribe(subjects.nodeControl(ref.id), ({ data, reply }) => {
      const request = decodeNodeRequest(data)
      if (request.op !== 'hand-off') throw new Error(`nobody asks for ${request.op}`)
      node.handOffs.push(request)
      if (node.handsOff !== 'silence') transport.publish(reply!, encodeControl({ done: node.handsOff }))
    })
    this.#nodes.set(name, node)
    return node
  }

  /** What a node says of a partition from now on. */
  says(
    node: StatedNode,
    partition: number,
    role: HostedRole,
    applied: number,
    more: Partial<HostedPartition> = {},
  ): void {
    const said = { epoch: epoch(1), appliedSeq: seq(applied), headLag: 0, stateHash: '', ...more }
    node.hosts.set(partition, { partition: partitionId(partition), role, ...said })
  }

  alive(): readonly NodeLease[] {
    return [...this.#nodes.values()]
      .filter(({ lives }) => lives)
      .map(({ ref, lease }) => ({
        ...{ ...ref, state: 'alive', host: ref.id, zone: ref.id, weight: 1, draining: false, renewal: 1 },
        ...lease,
      }))
  }

  members(): readonly SeenMember[] {
    return [...this.#nodes.values()].map(({ ref, hosts }) => ({
      ...{ phi: 0, suspected: false },
      member: {
        ...{ ...ref, boot: 1, heartbeat: 1, revised: 1 },
        details: { host: '', zone: '', version: '', load: 0, leaving: false, partitions: [...hosts.values()] },
      },
    }))
  }

  /** The table as the registry has it from now on. */
  write(entries: readonly Partial<PlacementEntry>[]): void {
    const former = this.world.registry.get('table')
    const version = former === null ? 1 : (JSON.parse(String(Buffer.from(former.value))) as { version: number }).version
    const blank = initialTable(1).entries[0]!
    const table = { version: version + 1, entries: entries.map((entry) => ({ ...blank, ...entry })) }
    this.world.registry.write('table', encodeTable(table), undefined)
  }

  /** As the registry has it. */
  entry(partition: number): PlacementEntry {
    const { entries } = JSON.parse(String(Buffer.from(this.world.registry.get('table')!.value))) as {
      entries: PlacementEntry[]
    }
    return entries[partition]!
  }

  /** A process with a table keeper, which has read the table. */
  async process(name: string, partitions: number): Promise<LeaderProcess> {
    const events = new Events()
    const process = this.world.start(name, events)
    const { registry, clock } = process
    const tables = new TableKeeper({
      ...{ registry, clock, observer: events, partitions },
      pollEveryMs: 1_000,
      onChange() {},
    })
    tables.start()
    this.#closers.push(() => tables.stop())
    await this.clock.settle(tables.refresh(), 1_000)
    return { process, tables, events }
  }

  async lead(
    name: string,
    partitions: number,
    changes: Partial<LeaderOptions> = {},
  ): Promise<LeaderProcess & { readonly leader: Leader }> {
    const around = await this.process(name, partitions)
    const { transport, clock } = around.process
    const leader = new Leader({
      ...{ transport, clock, observer: around.events, subjects, tables: around.tables },
      self: { id: name as NodeId, incarnation: incarnation(`${name}1`) },
      accepts: (reply): reply is string => reply?.startsWith('_INBOX.') === true,
      ...{ alive: () => this.alive(), members: () => this.members(), ...settings, ...changes },
    })
    this.#closers.unshift(() => leader.stop())
    leader.start()
    return { ...around, leader }
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0)) close()
    await this.clock.advance(0)
  }
}
