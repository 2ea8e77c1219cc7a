/**
 * The placement actor: every node has one, one of them leads. It is elected by a CAS on the registry's key `leader`, and leads as long
 * as that key names it; the key names a process, and its lease says whether that lives.
 *
 *   following ──no leader, or its lease is not alive──▶ campaigning ──won──▶ leading
 *       ▲                                                   │ lost            │ the key names another
 *       └───────────────────────────────────────────────────┴─────────────────┘
 *
 * Every node follows the table; what it says is passed on to the node (`onTable`). The leader's work is src/placement/leader.ts.
 */
import { createActor, fromCallback, fromPromise, setup } from 'xstate'
import type { PlacementTable } from '../src/core/table.ts'
import type { NodeLease } from '../src/membership/lease.ts'
import type { SeenMember } from '../src/membership/gossiper.ts'
import { maxAvoided } from '../src/placement/avoided.ts'
import { Leader, maxReports, type LeaderLoad } from '../src/placement/leader.ts'
import { maxOrders } from '../src/placement/order-desk.ts'
import { TableKeeper } from '../src/placement/table-keeper.ts'
import type { Clock } from '../src/ports/clock.ts'
import { gauge, type Metric } from '../src/ports/metrics.ts'
import type { Observer } from '../src/ports/observer.ts'
import type { Registry } from '../src/ports/registry.ts'
import type { Transport } from '../src/ports/transport.ts'
import { incarnation, isNodeId, sameNode, type NodeRef } from '../src/protocol/ids.ts'
import type { Subjects } from '../src/protocol/subjects.ts'

export interface PlacementOptions {
  readonly self: NodeRef
  readonly partitions: number
  readonly registry: Registry
  readonly transport: Transport
  readonly clock: Clock
  readonly observer: Observer
  readonly subjects: Subjects
  readonly settings: PlacementSettings
  /** Those whose lease is alive, as this node sees it. */
  readonly alive: () => readonly NodeLease[]
  /** What nodes say of themselves, as far as this one has heard. */
  readonly members: () => readonly SeenMember[]
  readonly onTable: (table: PlacementTable) => void
  /** Whether a subject may be answered; tells the observer of one that may not. */
  readonly accepts: (reply: string | undefined, subject: string) => reply is string
}

export interface PlacementSettings {
  /** Between two looks at the table, for what a watch misses, ms. */
  readonly pollTableEveryMs: number
  /** Between two looks at who leads, ms. */
  readonly pollLeaderEveryMs: number
  /** Between two plans of the leader, ms. */
  readonly planEveryMs: number
  /** How long one step of a move may take, ms (O6). */
  readonly stepTimeoutMs: number
  /** How long the target of a move may come no further before it is given up, ms. */
  readonly stallMs: number
  /** Moves that wait for their target to come level, and moves that are handed off, at once, at most. */
  readonly maxMoves: number
  /** Nodes that stand by for each partition, as far as there are others; the leader's counts, so give all nodes the same. */
  readonly standbys: number
  /** Partitions that have one more for a while, because a better placed one is on its way, at most. */
  readonly maxExtraStandbys: number
}

export const defaultPlacementSettings: PlacementSettings = {
  pollTableEveryMs: 1_000,
  pollLeaderEveryMs: 500,
  planEveryMs: 200,
  stepTimeoutMs: 2_000,
  stallMs: 10_000,
  maxMoves: 4,
  standbys: 1,
  maxExtraStandbys: 2,
}

export interface Placement {
  readonly leading: boolean
  /** Who leads, as far as this node knows. */
  readonly leader: NodeRef | null
  /** Members have changed. */
  hurry(): void
  metrics(): readonly Metric[]
  close(): void
}

type Event = { readonly type: 'vacant' } | { readonly type: 'deposed' } | { readonly type: 'hurry' }

const key = 'leader'
const followersLoad: LeaderLoad = { moves: 0, reports: 0, orders: 0, avoided: 0 }

export function createPlacement(options: PlacementOptions): Placement {
  const { self, registry, clock, observer, settings } = options
  let seen: { readonly leader: NodeRef | null; readonly revision: number } = { leader: null, revision: 0 }
  let leader: Leader | undefined
  const tables = new TableKeeper({
    registry,
    clock,
    observer,
    partitions: options.partitions,
    pollEveryMs: settings.pollTableEveryMs,
    onChange: options.onTable,
  })

  /** Who the registry says leads. */
  async function look(): Promise<void> {
    const entry = await registry.get(key)
    if (entry === null) seen = { leader: null, revision: 0 }
    else if (entry.revision >= seen.revision) seen = { leader: decodeLeader(entry.value), revision: entry.revision }
  }

  const lives = (node: NodeRef | null) => node !== null && options.alive().some((lease) => sameNode(lease, node))

  /** `true`: this node leads now. Rejects while the registry is away. */
  async function campaign(): Promise<boolean> {
    await look()
    if (sameNode(seen.leader, self)) return true
    if (lives(seen.leader) || !lives(self)) return false
    const value = Buffer.from(JSON.stringify({ id: self.id, incarnation: self.incarnation }))
    const result =
      seen.revision === 0 ? await registry.create(key, value) : await registry.update(key, value, seen.revision)
    if (result.kind === 'written') seen = { leader: self, revision: result.revision }
    return result.kind === 'written'
  }

  const machine = setup({
    types: {} as { events: Event },
    actors: {
      /** Looks again and again; says when nobody leads (to a follower) or somebody else does (to the leader). */
      observe: fromCallback<Event>(({ sendBack }) => {
        let timer = clock.setTimeout(again, 0)
        let stopped = false
        function again() {
          void look()
            .then(() => {
              if (stopped) return
              sendBack({ type: sameNode(seen.leader, self) || !lives(seen.leader) ? 'vacant' : 'deposed' })
            })
            .catch(() => {})
            .finally(() => {
              if (!stopped) timer = clock.setTimeout(again, settings.pollLeaderEveryMs)
            })
        }
        return () => {
          stopped = true
          clock.clearTimeout(timer)
        }
      }),
      campaign: fromPromise<boolean>(() => campaign()),
      lead: fromCallback<Event>(({ receive }) => {
        observer.emit({ type: 'placement.elected', node: self.id })
        const leading = new Leader({ ...options, ...settings, tables })
        leader = leading
        leading.start()
        receive((event) => {
          if (event.type === 'hurry') leading.hurry()
        })
        return () => {
          leading.stop()
          leader = undefined
        }
      }),
    },
    delays: { pause: settings.pollLeaderEveryMs },
  }).createMachine({
    initial: 'following',
    states: {
      following: {
        invoke: { src: 'observe' },
        on: { vacant: 'campaigning', hurry: { guard: () => !lives(seen.leader), target: 'campaigning' } },
      },
      campaigning: {
        invoke: {
          src: 'campaign',
          onDone: [{ guard: ({ event }) => event.output, target: 'leading' }, { target: 'lost' }],
          onError: 'lost',
        },
      },
      lost: { after: { pause: 'following' } },
      leading: {
        invoke: [{ src: 'observe' }, { src: 'lead', id: 'leader' }],
        on: {
          hurry: { actions: ({ self: actor }) => actor.getSnapshot().children['leader']?.send({ type: 'hurry' }) },
          deposed: {
            target: 'following',
            actions: () =>
              observer.emit({ type: 'placement.deposed', node: self.id, reason: `${seen.leader?.id} leads` }),
          },
        },
      },
    },
  })

  const actor = createActor(machine, { clock })
  tables.start()
  actor.start()
  return {
    get leading() {
      return actor.getSnapshot().value === 'leading'
    },
    get leader() {
      return seen.leader
    },
    hurry() {
      if (actor.getSnapshot().status === 'active') actor.send({ type: 'hurry' })
    },
    metrics() {
      const { moves, reports, orders, avoided } = leader?.load ?? followersLoad
      return [
        gauge('holdfast_placement_moves', moves, 2 * settings.maxMoves),
        gauge('holdfast_placement_reports', reports, maxReports),
        gauge('holdfast_placement_orders', orders, maxOrders),
        gauge('holdfast_placement_avoided', avoided, maxAvoided),
      ]
    },
    close() {
      actor.stop()
      tables.stop()
    },
  }
}

/** `null` for what is not a leader's name: then nobody leads. */
function decodeLeader(value: Uint8Array): NodeRef | null {
  try {
    const { id, incarnation: process } = JSON.parse(Buffer.from(value).toString()) as Record<string, unknown>
    if (typeof id !== 'string' || !isNodeId(id) || typeof process !== 'string') return null
    return { id, incarnation: incarnation(process) }
  } catch {
    return null
  }
}
