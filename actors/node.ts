/**
 * The node actor: one process's part in a cluster, from joining to leaving.
 *
 *   starting ─▶ running ──drain, close──▶ leaving ─▶ closed
 *     ▲  │         │ declared dead          crash, from anywhere ─▶ crashed
 *     │  └─────────│──what no retry mends──▶ failed ─▶ closed
 *     └────────────┘ (as a new incarnation)
 *
 * N1. One incarnation at a time (O1). When its lease is lost it hears nothing more, and everything of it ends before the next one begins or the
 *     node is closed. Where another process goes by this node's id, there is no next one: the node is `fenced`, and says so.
 * N2. A node that cannot begin, or begin again, for a reason that no retry mends, says so (`node.failed`) and closes itself.
 * N3. Who is to drain drains until the process ends: each incarnation passes that on to the next one. One whose lease was lost owns nothing.
 */
import { assign, createActor, fromPromise, setup, waitFor } from 'xstate'
import type { HealthFacts } from '../src/core/health.ts'
import { defaultRetention, type RetentionSettings } from '../src/core/trim.ts'
import type { ActorDefinition } from '../src/behaviour/definition.ts'
import type { TaskDefinition } from '../src/behaviour/task.ts'
import { defaultGossipSettings, type GossipSettings, type SeenMember } from '../src/membership/gossiper.ts'
import type { ClusterSettings } from '../src/partition/provision.ts'
import type { PartitionSettings } from '../src/partition/settings.ts'
import type { WorkMeter } from '../src/partition/work-meter.ts'
import type { Changelog } from '../src/ports/changelog.ts'
import type { Compression } from '../src/ports/compression.ts'
import type { Clock } from '../src/ports/clock.ts'
import type { Inputs } from '../src/ports/inputs.ts'
import { defaultNodeMemory, type NodeMemorySettings } from '../src/partition/node-memory.ts'
import type { Metric } from '../src/ports/metrics.ts'
import type { Objects } from '../src/ports/objects.ts'
import type { Observer } from '../src/ports/observer.ts'
import type { Random } from '../src/ports/random.ts'
import type { Registry } from '../src/ports/registry.ts'
import type { Stores } from '../src/ports/store.ts'
import type { Tracer } from '../src/ports/tracer.ts'
import type { Transport } from '../src/ports/transport.ts'
import { HoldfastError, isHoldfastError, messageOf } from '../src/protocol/errors.ts'
import type { NodeId } from '../src/protocol/ids.ts'
import { defaultInboxPrefixes } from '../src/protocol/subjects.ts'
import { Incarnation } from './incarnation.ts'
import { defaultMembershipSettings, type MembershipSettings, type SpareWay } from './membership.ts'
import type { PartitionStatus } from './partition.ts'
import { defaultPlacementSettings, type PlacementSettings } from './placement.ts'

/** The world of a node. Whoever gives it closes it, after the node. */
export interface NodePorts {
  readonly transport: Transport
  readonly changelog: Changelog
  readonly registry: Registry
  readonly spare?: SpareWay | undefined
  /** Streams for tasks. Default: there are none. */
  readonly inputs?: Inputs
  /** Where snapshots are. */
  readonly objects: Objects
  readonly compression: Compression
  readonly stores: Stores
  readonly clock: Clock
  readonly random: Random
  readonly observer: Observer
  /** Default: nobody collects spans. */
  readonly tracer?: Tracer | undefined
  /** Of what its partitions do. Default: nobody watches. */
  readonly meter?: WorkMeter | undefined
}

export interface NodeOptions {
  readonly cluster: string
  readonly id: NodeId
  readonly host: string
  readonly zone: string
  readonly weight: number
  /** Of the package, told to others. */
  readonly version: string
  readonly definitions: readonly ActorDefinition[]
  /** Default: none. */
  readonly tasks?: readonly TaskDefinition[]
  /** Settings of the cluster that this node insists on. Default: what the cluster has, or the defaults where it is new. */
  readonly clusterSettings?: Partial<Omit<ClusterSettings, 'format'>>
  readonly settings?: NodeSettingsInput
}

export interface NodeSettings {
  /** The lease's term is the cluster's. */
  readonly partition: Partial<Omit<PartitionSettings, 'leaseMs'>>
  readonly membership: MembershipSettings
  readonly placement: PlacementSettings
  readonly gossip: GossipSettings
  /** What all partitions of the node may use together. */
  readonly memory: NodeMemorySettings
  /** Changes that the cluster keeps for watchers, each partition its share. Give all nodes the same. */
  readonly retention: RetentionSettings
  /** Replies go only to subjects under one of them. Default `_INBOX` and `_INBOX_<cluster>`. */
  readonly inboxPrefixes: readonly string[]
}

/** What is left out has its default. */
export interface NodeSettingsInput {
  readonly partition?: NodeSettings['partition']
  readonly membership?: Partial<MembershipSettings>
  readonly placement?: Partial<PlacementSettings>
  readonly gossip?: Partial<GossipSettings>
  readonly memory?: Partial<NodeMemorySettings>
  readonly retention?: Partial<RetentionSettings>
  readonly inboxPrefixes?: readonly string[]
}

export interface NodeStatus {
  readonly id: NodeId
  readonly state: 'starting' | 'running' | 'leaving' | 'closed' | 'crashed' | 'fenced'
  readonly incarnation: string
  readonly leading: boolean
  readonly partitions: readonly PartitionStatus[]
  readonly members: readonly SeenMember[]
}

export interface Node {
  /** Resolves when it is a member. Rejects with what makes that impossible. */
  start(): Promise<void>
  status(): NodeStatus
  /** How full its parts are, and what they have refused. */
  metrics(): readonly Metric[]
  /** What its health is judged by (src/core/health.ts). */
  health(): HealthFacts
  /** Moves every partition away, as far as there is another node to take it; resolves when it owns none. Rejects with `RETRY` while the registry is away. */
  drain(): Promise<void>
  /** Ends its ownerships, gives its lease back and ends everything. */
  close(): Promise<void>
  /** Ends everything at once: nothing is sent, flushed or said. */
  crash(): Promise<void>
}

type Event =
  | { readonly type: 'start' }
  | { readonly type: 'lost'; readonly how: 'dead' | 'replaced'; readonly reason: string }
  | { readonly type: 'close' }
  | { readonly type: 'crash' }

interface Context {
  /** What ended the node, if something did. */
  readonly error: Error | undefined
}

const startAgainMs = 500

function nodeMachine(ports: NodePorts, options: NodeOptions, lives: Lives) {
  const { observer } = ports
  const { id: node } = options
  return setup({
    types: {} as { context: Context; events: Event },
    actors: {
      start: fromPromise<void>(() => lives.begin().start()),
      end: fromPromise<void, { readonly leave: boolean }>(
        ({ input }) => lives.current?.end(input.leave) ?? Promise.resolve(),
      ),
      crash: fromPromise<void>(() => lives.current?.crash() ?? Promise.resolve()),
    },
    actions: {
      started: () => observer.emit({ type: 'node.started', node, incarnation: lives.current?.self.incarnation ?? '' }),
      lost: (_, { reason }: { reason: string }) => observer.emit({ type: 'node.fenced', node, reason }),
      failed: (_, { error }: { error: unknown }) => observer.emit({ type: 'node.failed', node, error }),
      closed: () => observer.emit({ type: 'node.closed', node }),
      crashed: () => observer.emit({ type: 'node.crashed', node }),
      keepError: assign({ error: (_, { error }: { error: unknown }) => errorOf(error) }),
      keepReason: assign({ error: (_, { reason }: { reason: string }) => new HoldfastError('CONFLICT', reason) }),
    },
    guards: {
      replaced: (_, { how }: { how: string }) => how === 'replaced',
      passing: (_, { error }: { error: unknown }) =>
        isHoldfastError(error, 'RETRY') || isHoldfastError(error, 'UNKNOWN'),
    },
    delays: { pause: startAgainMs },
  }).createMachine({
    initial: 'idle',
    context: { error: undefined },
    on: { crash: '.crashing' },
    states: {
      idle: { on: { start: 'active', close: 'closed' } },
      active: {
        initial: 'starting',
        on: {
          lost: [
            {
              guard: { type: 'replaced', params: ({ event }) => event },
              target: 'fenced',
              actions: [
                { type: 'lost', params: ({ event }) => event },
                { type: 'keepReason', params: ({ event }) => event },
              ],
            },
            { target: 'beginningAgain', actions: { type: 'lost', params: ({ event }) => event } },
          ],
          close: 'leaving',
        },
        states: {
          starting: {
            invoke: {
              src: 'start',
              onDone: { target: 'running', actions: 'started' },
              onError: [
                { guard: { type: 'passing', params: ({ event }) => event }, target: '#beginningAgain' },
                {
                  target: '#failed',
                  actions: [
                    { type: 'failed', params: ({ event }) => event },
                    { type: 'keepError', params: ({ event }) => event },
                  ],
                },
              ],
            },
          },
          running: {},
        },
      },
      beginningAgain: {
        id: 'beginningAgain',
        invoke: { src: 'end', input: { leave: false }, onDone: 'pausing', onError: 'pausing' },
        on: { close: 'leaving' },
      },
      pausing: { after: { pause: 'active' }, on: { close: 'closed' } },
      fenced: { invoke: { src: 'end', input: { leave: false }, onError: {} }, on: { close: 'leaving' } },
      failed: { id: 'failed', invoke: { src: 'end', input: { leave: true }, onDone: 'closed', onError: 'closed' } },
      leaving: { invoke: { src: 'end', input: { leave: true }, onDone: 'closed', onError: 'closed' } },
      crashing: { invoke: { src: 'crash', onDone: 'crashed', onError: 'crashed' } },
      closed: { type: 'final', entry: 'closed' },
      crashed: { type: 'final', entry: 'crashed' },
    },
  })
}

/** The incarnations of this process, one after the other (N1). */
interface Lives {
  current: Incarnation | undefined
  begin(): Incarnation
}

export function createNodeActor(ports: NodePorts, options: NodeOptions): Node {
  const settings = settingsFrom(options.settings, options.cluster)
  const lives: Lives = {
    current: undefined,
    begin() {
      const draining = lives.current?.draining ?? false
      const life = new Incarnation(ports, options, settings, draining, (how, reason) => {
        if (life === lives.current) actor.send({ type: 'lost', how, reason })
      })
      lives.current = life
      return life
    },
  }
  const actor = createActor(nodeMachine(ports, options, lives), { clock: ports.clock })
  actor.start()
  const settled = (states: readonly string[]) =>
    waitFor(actor, (snapshot) => states.includes(stateOf(snapshot.value)), { timeout: Infinity })

  return {
    async start() {
      actor.send({ type: 'start' })
      const snapshot = await settled(['running', 'fenced', 'closed', 'crashed'])
      if (stateOf(snapshot.value) === 'running') return
      throw snapshot.context.error ?? new HoldfastError('INVALID', 'the node was closed before it had started')
    },
    status: () => ({
      id: options.id,
      state: stateOf(actor.getSnapshot().value),
      incarnation: lives.current?.self.incarnation ?? '',
      leading: lives.current?.leading ?? false,
      partitions: lives.current?.partitions() ?? [],
      members: lives.current?.members() ?? [],
    }),
    metrics: () => lives.current?.metrics() ?? [],
    health: () => ({
      state: stateOf(actor.getSnapshot().value),
      ...(lives.current?.health() ?? { connected: ports.transport.connected, lease: undefined, named: undefined }),
    }),
    async drain() {
      await lives.current?.drain()
    },
    async close() {
      actor.send({ type: 'close' })
      await settled(['closed', 'crashed'])
    },
    async crash() {
      actor.send({ type: 'crash' })
      await settled(['closed', 'crashed'])
    },
  }
}

function settingsFrom(given: NodeSettingsInput = {}, cluster: string): NodeSettings {
  return {
    partition: given.partition ?? {},
    membership: { ...defaultMembershipSettings, ...given.membership },
    placement: { ...defaultPlacementSettings, ...given.placement },
    gossip: { ...defaultGossipSettings, ...given.gossip },
    memory: { ...defaultNodeMemory, ...given.memory },
    retention: { ...defaultRetention, ...given.retention },
    inboxPrefixes: given.inboxPrefixes ?? defaultInboxPrefixes(cluster),
  }
}

const errorOf = (thrown: unknown): Error =>
  thrown instanceof Error ? thrown : new HoldfastError('INTERNAL', messageOf(thrown), { cause: thrown })

function stateOf(value: unknown): NodeStatus['state'] {
  if (typeof value === 'object' && value !== null) return (value as { readonly active: 'starting' | 'running' }).active
  return states[String(value)] ?? 'starting'
}

const states: Readonly<Record<string, NodeStatus['state']>> = {
  fenced: 'fenced',
  failed: 'leaving',
  leaving: 'leaving',
  crashing: 'leaving',
  closed: 'closed',
  crashed: 'crashed',
}
