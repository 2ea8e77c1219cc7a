/**
 * One incarnation of a node: its membership, placement, partitions, gateway and lister, and the subjects that are the node's own.
 *
 * I1. Everything begins in `start` and ends in `end` or `crash`; an incarnation never begins again (O1).
 * I2. What placement's table says of this incarnation is what its partitions want; nothing else starts or ends an ownership.
 * I3. It answers only to subjects under the inbox prefixes.
 * I4. Orders to the node are carried out a bounded number at a time; one more is answered that it is not done, and is given again.
 * I5. An end is not cut short by a part that fails: each store is waited for, and one that could not be written has told so (`store.failed`).
 */
import type { ActorDefinition } from '../src/behaviour/definition.ts'
import { Session } from '../src/client/session.ts'
import type { HealthFacts } from '../src/core/health.ts'
import type { MemberDetails } from '../src/core/membership.ts'
import { retentionOf } from '../src/core/trim.ts'
import { viewOf, type PlacementEntry, type PlacementTable } from '../src/core/table.ts'
import type { SeenMember } from '../src/membership/gossiper.ts'
import type { NodeLease } from '../src/membership/lease.ts'
import { Dispatcher } from '../src/partition/dispatcher.ts'
import { LoopShare } from '../src/partition/loop-share.ts'
import { NodeMemory } from '../src/partition/node-memory.ts'
import { generationOf, generationPrefix, partitionOfKey, provision, type Cluster } from '../src/partition/provision.ts'
import { ReplyBatches } from '../src/partition/reply-batches.ts'
import { CutSlots } from '../src/partition/snapshot/slots.ts'
import { defaultPartitionSettings, type PartitionSettings } from '../src/partition/settings.ts'
import {
  decodeNodeRequest,
  encodeControl,
  type NodeReply,
  type NodeRequest,
  type Report,
} from '../src/placement/control.ts'
import { encodeReport, reportOf } from '../src/placement/status-report.ts'
import type { Clock } from '../src/ports/clock.ts'
import { noStreams } from '../src/ports/inputs.ts'
import { gauge, labelled, type Metric } from '../src/ports/metrics.ts'
import type { Message, Subscription } from '../src/ports/transport.ts'
import {
  incarnation,
  partitionId,
  sameNode,
  type Epoch,
  type NodeId,
  type NodeRef,
  type PartitionId,
} from '../src/protocol/ids.ts'
import { subjectsOf } from '../src/protocol/subjects.ts'
import { Tasks } from '../src/task/tasks.ts'
import { createGateway, type Gateway } from './gateway.ts'
import { createLister, type Lister } from './lister.ts'
import { createMembership, type Membership } from './membership.ts'
import type { NodeOptions, NodePorts, NodeSettings } from './node.ts'
import { createPartition, type Partition, type PartitionStatus, type Wanted } from './partition.ts'
import { movedAway } from './moved-away.ts'
import { createPlacement, type Placement } from './placement.ts'

const loadWindowMs = 1_000
/** How long an orderly end waits for what is on its way. */
const partingMs = 2_000
/** Nodes that are close to another one. */
export const neighbours = 3
/** I4. */
const maxOrders = 64
/** What requests of plain clients may hold together, bytes. */
const gatewayBytes = 64 * 1_024 * 1_024

export class Incarnation {
  readonly self: NodeRef
  readonly #ports: NodePorts
  readonly #options: NodeOptions
  readonly #settings: NodeSettings
  readonly #onLost: (how: 'dead' | 'replaced', reason: string) => void
  readonly #memory: NodeMemory
  #membership: Membership | undefined
  #placement: Placement | undefined
  #partitions: readonly Partition[] = []
  #tasks: Tasks | undefined
  #replies: ReplyBatches | undefined
  #session: Session | undefined
  #gateway: Gateway | undefined
  #lister: Lister | undefined
  #subscriptions: Subscription[] = []
  #table: PlacementTable | undefined
  #turnsBefore = 0
  #load = 0
  #loadAtMs = 0
  #orders = 0
  #draining: boolean
  #ended = false
  #ending: Promise<void> | undefined

  constructor(
    ports: NodePorts,
    options: NodeOptions,
    settings: NodeSettings,
    draining: boolean,
    onLost: (how: 'dead' | 'replaced', reason: string) => void,
  ) {
    this.#draining = draining
    this.#ports = ports
    this.#options = options
    this.#settings = settings
    this.#onLost = onLost
    this.#memory = new NodeMemory(settings.memory)
    this.self = { id: options.id, incarnation: incarnation(ports.random.id()) }
  }

  async start(): Promise<void> {
    const { registry, changelog, random, observer, transport } = this.#ports
    const { cluster: name, definitions, clusterSettings = {} } = this.#options
    const subjects = subjectsOf(name)
    const cluster = await provision(clusterSettings, { registry, changelog, random, observer })
    if (this.#ended) return
    this.#replies = new ReplyBatches(transport, observer, this.#settings.inboxPrefixes)
    const dispatcher = new Dispatcher({
      partitions: cluster.settings.partitions,
      replies: this.#replies,
      observer,
      tracer: this.#ports.tracer,
      submit: (partition, incoming) => this.#partitions[partition]!.submit(incoming),
    })
    const receive = (message: Message) => dispatcher.receive(message)
    this.#tasks = new Tasks({
      ...this.#ports,
      definitions: this.#options.tasks ?? [],
      cluster: name,
      partitions: cluster.settings.partitions,
      inputs: this.#ports.inputs ?? noStreams,
    })
    this.#partitions = this.#createPartitions(cluster, definitions, receive)
    this.#subscriptions = [
      transport.subscribe(subjects.nodeFrame(this.self.id), receive),
      transport.subscribe(subjects.nodeControl(this.self.id), (message) => this.#onControl(message)),
      registry.watch(generationPrefix, ({ key, value }) => {
        if (value !== null) this.#partitions[partitionOfKey(key)]?.named(generationOf(value))
      }),
      transport.subscribe(subjects.status, (message) => this.#onStatus(message, cluster), { queue: 'gateway' }),
      transport.onStatus((status) => {
        if (status === 'connected') for (const partition of this.#partitions) partition.reconnected()
      }),
    ]
    const { host, zone, weight } = this.#options
    this.#membership = createMembership({
      ...this.#ports,
      subjects,
      self: this.self,
      host,
      zone,
      weight,
      draining: this.#draining,
      settings: this.#settings.membership,
      gossip: this.#settings.gossip,
      details: () => this.#details(),
      mayDeclare: (lease) => this.#placement?.leading === true || sameNode(lease, this.#placement?.leader),
      isClose: (lease) => this.#placement?.leading === true || this.#isNeighbourOf(lease),
      onChange: () => this.#placement?.hurry(),
      onLost: this.#onLost,
    })
    await this.#membership.join()
    if (this.#ended) return
    this.#session = new Session(this.#ports, {
      cluster: name,
      maxOutstandingBytes: gatewayBytes,
      near: this.self.id,
      // Plain clients say themselves what they have seen.
      remembers: false,
    })
    const replies = this.#replies
    const accepts = (reply: string | undefined, subject: string): reply is string => replies.accepts(reply, subject)
    this.#placement = createPlacement({
      ...this.#ports,
      subjects,
      self: this.self,
      partitions: cluster.settings.partitions,
      settings: this.#settings.placement,
      alive: () => this.#membership?.alive() ?? [],
      members: () => this.members(),
      onTable: (table) => this.#onTable(table),
      accepts,
    })
    this.#gateway = createGateway({
      ...this.#ports,
      cluster: name,
      session: this.#session,
      view: () => this.#table && viewOf(this.#table),
      inboxPrefixes: this.#settings.inboxPrefixes,
    })
    this.#lister = createLister({
      ...this.#ports,
      cluster: name,
      partitions: cluster.settings.partitions,
      accepts,
    })
  }

  partitions(): readonly PartitionStatus[] {
    return this.#partitions.map((partition) => partition.status())
  }

  members(): readonly SeenMember[] {
    return this.#membership?.members() ?? []
  }

  /** What every part has to say of how full it is. */
  metrics(): readonly Metric[] {
    return [
      ...this.#memory.metrics(),
      ...this.#partitions.flatMap((partition) => partition.metrics()),
      ...(this.#replies?.metrics() ?? []),
      ...(this.#membership?.metrics() ?? []),
      ...(this.#placement?.metrics() ?? []),
      ...labelled({ of: 'gateway' }, this.#session?.metrics() ?? []),
      ...(this.#gateway?.metrics() ?? []),
      ...(this.#lister?.metrics() ?? []),
      gauge('holdfast_orders', this.#orders, maxOrders),
    ]
  }

  /** What speaks for and against it, but for the state of its node. */
  health(): Omit<HealthFacts, 'state'> {
    const named = this.#table?.entries.flatMap(({ owner, standbys, epoch }, n) => {
      const owns = sameNode(owner, this.self)
      if (!owns && !standbys.some((ref) => sameNode(ref, this.self))) return []
      const { role = 'none', epoch: roleEpoch = 0 as Epoch, reason } = this.#partitions[n]?.status() ?? {}
      return [
        {
          partition: partitionId(n),
          as: owns ? ('owner' as const) : ('standby' as const),
          epoch,
          role,
          roleEpoch,
          reason,
        },
      ]
    })
    return { connected: this.#ports.transport.connected, lease: this.#membership?.own(), named }
  }

  get leading(): boolean {
    return this.#placement?.leading ?? false
  }

  /** Whether it is to own nothing. */
  get draining(): boolean {
    return this.#draining
  }

  async drain(): Promise<void> {
    await this.#askToDrain()
    const { clock } = this.#ports
    const others = () => this.#membership?.alive().some(({ id, draining }) => id !== this.self.id && !draining) ?? false
    // What is on its way may still come, and then has to go, too.
    const owns = () =>
      this.#table?.entries.some(({ owner, moving }) => [owner, moving].some((ref) => sameNode(ref, this.self))) ?? false
    await movedAway({ clock, goesOn: () => !this.#ended && owns() && others(), own: () => this.#membership?.own() })
  }

  /** As `Membership.drain`. */
  async #askToDrain(): Promise<boolean> {
    this.#draining = true
    return (await this.#membership?.drain()) ?? false
  }

  /** Resolves when it has ended, as the first who called it wanted it to. */
  end(leave: boolean): Promise<void> {
    return (this.#ending ??= this.#end(leave))
  }

  /** Ends in the order in which it began, backwards: no new requests, then no ownerships, then no lease. */
  async #end(leave: boolean): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    // Another process may go by this node's id: what it has taken in must not be answered here, too.
    if (!leave) this.#stopListening()
    if (leave && this.#gateway !== undefined) await within(this.#ports.clock, partingMs, this.#gateway.drain())
    this.#gateway?.close()
    this.#lister?.close()
    this.#session?.close()
    this.#placement?.close()
    // I5
    await Promise.allSettled(this.#partitions.map((partition) => partition.close(leave ? partingMs : 0)))
    if (this.#tasks !== undefined) await within(this.#ports.clock, partingMs, this.#tasks.close())
    this.#stopListening()
    this.#replies?.close({ flush: true })
    if (leave) await this.#membership?.leave()
    this.#membership?.close()
  }

  async crash(): Promise<void> {
    this.#ended = true
    this.#tasks?.crash()
    this.#replies?.close({ flush: false })
    this.#membership?.close()
    this.#placement?.close()
    this.#gateway?.close()
    this.#lister?.close()
    this.#session?.close()
    this.#stopListening()
    await Promise.all(this.#partitions.map((partition) => partition.crash()))
  }

  #stopListening(): void {
    for (const subscription of this.#subscriptions) subscription.close()
    this.#subscriptions = []
  }

  #createPartitions(
    { settings, generations }: Cluster,
    definitions: readonly ActorDefinition[],
    receive: (message: Message) => void,
  ): readonly Partition[] {
    const { transport } = this.#ports
    const subjects = subjectsOf(this.#options.cluster)
    const byType = new Map(definitions.map((definition) => [definition.type, definition]))
    const partitionSettings: PartitionSettings = {
      ...defaultPartitionSettings,
      retention: retentionOf(this.#settings.retention, settings.partitions),
      maxRecordBytes: Math.floor(transport.maxPayload / 2),
      ...this.#settings.partition,
      leaseMs: settings.leaseMs,
    }
    const cutSlots = new CutSlots()
    const share = new LoopShare(this.#ports.clock, partitionSettings.sliceMs)
    return generations.map((generation, n) => {
      const id = partitionId(n)
      const partition: Partition = createPartition({
        ...this.#ports,
        partition: id,
        generation,
        node: this.self,
        subjects,
        definitions: byType,
        settings: partitionSettings,
        memory: this.#memory,
        cutSlots,
        share,
        openTenant: (owned) => this.#tasks!.begin(owned),
        knownOwner: () => this.#knownOwner(id),
        onEpochSpent: (epoch) => this.#report({ op: 'epoch-spent', node: this.self, partition: id, epoch }),
        onCannotOpen: (epoch, reason) =>
          this.#report({ op: 'cannot-open', node: this.self, partition: id, epoch, reason }),
        listen: () => [
          transport.subscribe(subjects.partition(id), receive, { queue: 'owner' }),
          transport.subscribe(subjects.watch(id), (message) => this.#onWatch(partition, message), { queue: 'owner' }),
          transport.subscribe(subjects.scan(id), (message) => this.#onScan(partition, message), { queue: 'owner' }),
          transport.subscribe(subjects.position(id), (message) => this.#onPosition(partition, message), {
            queue: 'owner',
          }),
        ],
      })
      return partition
    })
  }

  #knownOwner(partition: PartitionId): { readonly owner: NodeId | null; readonly epoch: Epoch } {
    const entry = this.#table?.entries[partition]
    const elsewhere = entry?.owner != null && !sameNode(entry.owner, this.self)
    return { owner: elsewhere ? entry.owner.id : null, epoch: entry?.epoch ?? (0 as Epoch) }
  }

  #onTable(table: PlacementTable): void {
    this.#table = table
    const view = viewOf(table)
    this.#session?.learn(view)
    table.entries.forEach((entry, n) => this.#partitions[n]?.want(wantedOf(this.self, entry)))
  }

  #onControl({ data, reply, subject }: Message): void {
    const { observer, transport } = this.#ports
    if (this.#replies?.accepts(reply, subject) !== true) return
    let request: NodeRequest
    try {
      request = decodeNodeRequest(data)
    } catch {
      observer.emit({ type: 'message.dropped', subject, reason: 'malformed' })
      return
    }
    if (this.#orders >= maxOrders) return transport.publish(reply, encodeControl({ done: false }))
    this.#orders++
    void this.#obey(request).then((answer) => {
      this.#orders--
      if (!this.#ended) transport.publish(reply, encodeControl(answer))
    })
  }

  /** Rejects never. */
  async #obey(request: NodeRequest): Promise<NodeReply> {
    switch (request.op) {
      case 'hand-off': {
        const hosted = this.#partitions[request.partition]
        const { epoch: begun, role } = hosted?.status() ?? {}
        const owned = begun === request.epoch || role === 'stopped' ? hosted : undefined
        return { done: (await owned?.handOff(request.to)) ?? false }
      }
      case 'drain':
        return { done: await this.#askToDrain() }
      case 'snapshot': {
        const snapshot = this.#partitions[request.partition]?.orderSnapshot(request.name) ?? null
        return snapshot === null ? { done: false } : { done: true, snapshot }
      }
      case 'clock':
        return { done: true, now: this.#ports.clock.now() }
    }
  }

  /** Before this node knows the table it has nothing to report: another one may answer. */
  #onStatus({ reply, subject }: Message, { settings }: Cluster): void {
    const [table, placement, membership] = [this.#table, this.#placement, this.#membership]
    if (table === undefined || placement === undefined || membership === undefined) return
    if (this.#replies?.accepts(reply, subject) !== true) return
    const report = reportOf({
      cluster: this.#options.cluster,
      self: this.self.id,
      nowMs: this.#ports.clock.now(),
      settings,
      leader: placement.leader,
      table,
      alive: membership.alive(),
      members: membership.members(),
    })
    this.#ports.transport.publish(reply, encodeReport(report))
  }

  #onWatch(partition: Partition, { data, reply, subject }: Message): void {
    if (this.#replies?.accepts(reply, subject) === true) void partition.watch(data, reply)
  }

  #onScan(partition: Partition, { data, reply, subject }: Message): void {
    if (this.#replies?.accepts(reply, subject) === true) void partition.scan(data, reply)
  }

  #onPosition(partition: Partition, { reply, subject }: Message): void {
    if (this.#replies?.accepts(reply, subject) === true) void partition.position(reply)
  }

  #report(report: Report): void {
    this.#ports.transport.publish(subjectsOf(this.#options.cluster).placementReport, encodeControl(report))
  }

  /** A few are close to any node, however many there are: the first ones by name. */
  #isNeighbourOf({ id }: NodeLease): boolean {
    const others = (this.#membership?.alive() ?? []).filter((lease) => lease.id !== id)
    return others.slice(0, neighbours).some((lease) => lease.id === this.self.id)
  }

  #details(): MemberDetails {
    const nowMs = this.#ports.clock.monotonic()
    const statuses = this.partitions()
    const turns = statuses.reduce((sum, { progress }) => sum + progress.turns, 0)
    if (nowMs - this.#loadAtMs >= loadWindowMs) {
      this.#load = Math.round((Math.max(0, turns - this.#turnsBefore) * 1_000) / (nowMs - this.#loadAtMs))
      this.#turnsBefore = turns
      this.#loadAtMs = nowMs
    }
    const { host, zone, version } = this.#options
    const partitions = statuses.flatMap(({ partition, role, epoch, progress: { appliedSeq, lag, stateHash } }) =>
      role === 'none'
        ? []
        : [
            {
              partition,
              role: role === 'handing-off' ? ('owner' as const) : role,
              epoch,
              appliedSeq,
              headLag: lag,
              stateHash,
            },
          ],
    )
    const leaving = this.#membership?.alive().find((lease) => sameNode(lease, this.self))?.draining ?? false
    return { host, zone, version, load: this.#load, leaving, partitions }
  }
}

/** I2 */
function wantedOf(self: NodeRef, { owner, epoch, standbys, moving }: PlacementEntry): Wanted {
  if (sameNode(owner, self)) return { role: 'owner', epoch }
  if (sameNode(moving, self)) return { role: 'standby', heirOf: epoch }
  return standbys.some((node) => sameNode(node, self)) ? { role: 'standby' } : null
}

/** Resolves with the promise, or after `ms` without it. */
function within(clock: Clock, ms: number, promise: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.setTimeout(resolve, ms)
    void promise.finally(() => {
      clock.clearTimeout(timer)
      resolve()
    })
  })
}
