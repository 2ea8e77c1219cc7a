/**
 * The membership actor: this process's place in the cluster, and its view of the others.
 *
 *   joining ──lease taken──▶ member ──leave──▶ leaving ──▶ gone
 *      │ registry away: again   └──lease lost──▶ lost
 *      └──no lease to be had──▶ lost
 *
 * Three things run while it is a member: its own lease (src/membership/lease-keeper.ts), the watch over all leases
 * (lease-watch.ts), and gossip (gossiper.ts). Leases decide who lives; gossip tells how they do.
 */
import { assign, createActor, fromCallback, fromPromise, setup, waitFor } from 'xstate'
import type { OwnLease } from '../src/core/health.ts'
import type { LeaseSettings } from '../src/core/leases.ts'
import type { MemberDetails } from '../src/core/membership.ts'
import { Gossiper, type GossipSettings, type SeenMember } from '../src/membership/gossiper.ts'
import { LeaseKeeper } from '../src/membership/lease-keeper.ts'
import { LeaseWatch } from '../src/membership/lease-watch.ts'
import type { NodeLease } from '../src/membership/lease.ts'
import { bePresent, isAbsent } from '../src/membership/presence.ts'
import type { Clock } from '../src/ports/clock.ts'
import type { Metric } from '../src/ports/metrics.ts'
import type { Observer } from '../src/ports/observer.ts'
import type { Random } from '../src/ports/random.ts'
import type { Registry } from '../src/ports/registry.ts'
import type { Subscription, Transport } from '../src/ports/transport.ts'
import { HoldfastError, isHoldfastError } from '../src/protocol/errors.ts'
import type { NodeRef } from '../src/protocol/ids.ts'
import type { Subjects } from '../src/protocol/subjects.ts'

/** A second connection to the server: what holds up the first one does not hold up this one (docs/decisions/0038). Default: there is none. */
export interface SpareWay {
  /** The same, for renewals of the lease. */
  readonly registry: Registry
  /** Where the node is present as well. */
  readonly transport: Transport
}

export interface MembershipOptions {
  readonly self: NodeRef
  readonly host: string
  readonly zone: string
  readonly weight: number
  /** Whether it drains from the start. */
  readonly draining: boolean
  readonly registry: Registry
  readonly transport: Transport
  readonly spare?: SpareWay | undefined
  readonly clock: Clock
  readonly random: Random
  readonly observer: Observer
  readonly subjects: Subjects
  readonly settings: MembershipSettings
  readonly gossip: GossipSettings
  readonly details: () => MemberDetails
  /** Whose death this node may declare (O5). */
  readonly mayDeclare: (lease: NodeLease) => boolean
  /** Of those: whom it asks after before they have missed a renewal. */
  readonly isClose: (lease: NodeLease) => boolean
  /** Somebody joined, left, died, or drains. */
  readonly onChange: () => void
  /** This process is not a member any more: `dead`, it may come back as a new one; `replaced`, another goes by its id. */
  readonly onLost: (how: 'dead' | 'replaced', reason: string) => void
}

export interface MembershipSettings {
  /** Between two renewals of a lease, ms. */
  readonly renewEveryMs: number
  /** A lease that is not renewed for so long has expired, ms; the same on all nodes. At least four times `renewEveryMs`. */
  readonly leaseTermMs: number
}

export const defaultMembershipSettings: MembershipSettings = { renewEveryMs: 500, leaseTermMs: 2_000 }

/**
 * Whoever is declared dead had two renewals' time with a registry that answered (O5): else the declaration, on its way while the registry
 * hangs, could overtake renewals that hang with it.
 */
export const leaseSettingsOf = ({ renewEveryMs, leaseTermMs }: MembershipSettings): LeaseSettings => ({
  termMs: leaseTermMs,
  quietMs: renewEveryMs / 2,
  absentMs: renewEveryMs / 2,
  stallMs: renewEveryMs,
  answerMs: leaseTermMs - 2 * renewEveryMs,
})
export const judgeEveryMs = ({ renewEveryMs }: MembershipSettings): number => renewEveryMs / 5
export const missedMs = ({ renewEveryMs }: MembershipSettings): number => 1.5 * renewEveryMs
/** How long a renewal is waited for before it goes by the spare way, too. */
export const patienceMs = ({ renewEveryMs }: MembershipSettings): number => renewEveryMs / 2
/** How long its own lease is renewed by the spare way alone. A connection that is silent is made anew before that (`pingIntervalMs`). */
export const spareForMs = ({ leaseTermMs }: MembershipSettings): number => 4 * leaseTermMs

export interface Membership {
  /** Resolves once this process has its lease and sees the others'. Rejects with `CONFLICT` where others fight for its id, `INVALID` where it may not write its lease. */
  join(): Promise<void>
  alive(): readonly NodeLease[]
  members(): readonly SeenMember[]
  metrics(): readonly Metric[]
  /** How its own lease stands. */
  own(): OwnLease
  /** Asks for all partitions to be moved away. Whether its lease says so by now; else the next renewal will. */
  drain(): Promise<boolean>
  /** Gives the lease back. */
  leave(): Promise<void>
  /** Ends it without a word. */
  close(): void
}

type Event = { readonly type: 'lost' } | { readonly type: 'leave' }

interface Context {
  readonly boot: number
  readonly error: HoldfastError | undefined
}

const joinAgainMs = 500

export function createMembership(options: MembershipOptions): Membership {
  const { self, host, zone, weight, draining, registry, spare, transport, clock, observer, subjects, settings } =
    options
  const { renewEveryMs } = settings
  const keeper = new LeaseKeeper({
    registry,
    spare: spare?.registry,
    clock,
    renewEveryMs,
    patienceMs: patienceMs(settings),
    spareForMs: spareForMs(settings),
    lease: { ...self, host, zone, weight, draining },
    onRenewed: () => watch.answered(),
    onLost: (how, reason) => {
      actor.send({ type: 'lost' })
      options.onLost(how, reason)
    },
  })
  const watch = new LeaseWatch({
    self: self.id,
    registry,
    transport,
    clock,
    observer,
    settings: leaseSettingsOf(settings),
    pollEveryMs: renewEveryMs,
    judgeEveryMs: judgeEveryMs(settings),
    isAbsent: (id) => isAbsent(id, subjects, transport, clock),
    mayDeclare: options.mayDeclare,
    isClose: options.isClose,
    missedMs: missedMs(settings),
    onChange: options.onChange,
  })
  let gossiper: Gossiper | undefined
  let presence: Subscription | undefined

  const machine = setup({
    types: {} as { context: Context; events: Event },
    actors: {
      join: fromPromise<number>(() => keeper.join()),
      live: fromCallback<Event, number>(({ input: boot }) => {
        const seeds = () => watch.alive().map(({ id }) => id)
        gossiper = new Gossiper({ ...options, boot, seeds, settings: options.gossip })
        watch.start()
        gossiper.start()
        return () => {
          watch.stop()
          gossiper?.stop()
        }
      }),
      leave: fromPromise<void>(() => keeper.leave()),
    },
    guards: {
      hopeless: (_, { error }: { error: unknown }) =>
        isHoldfastError(error, 'CONFLICT') || isHoldfastError(error, 'INVALID'),
    },
    delays: { pause: joinAgainMs },
  }).createMachine({
    initial: 'joining',
    context: { boot: 0, error: undefined },
    states: {
      joining: {
        invoke: {
          src: 'join',
          onDone: { target: 'member', actions: assign({ boot: ({ event }) => event.output }) },
          onError: [
            {
              guard: { type: 'hopeless', params: ({ event }) => event },
              target: 'lost',
              actions: assign({ error: ({ event }) => event.error as HoldfastError }),
            },
            'waiting',
          ],
        },
      },
      waiting: { after: { pause: 'joining' } },
      member: {
        invoke: { src: 'live', input: ({ context }) => context.boot },
        on: { lost: 'lost', leave: 'leaving' },
      },
      leaving: { invoke: { src: 'leave', onDone: 'gone', onError: 'gone' } },
      lost: { type: 'final' },
      gone: { type: 'final' },
    },
  })
  const actor = createActor(machine, { clock })

  return {
    async join() {
      // Before it has a lease that may be quiet.
      presence = bePresent(self.id, subjects, spare === undefined ? [transport] : [transport, spare.transport])
      actor.start()
      const snapshot = await waitFor(actor, (s) => s.matches('member') || s.status === 'done', { timeout: Infinity })
      if (!snapshot.matches('member'))
        throw snapshot.context.error ?? new HoldfastError('RETRY', 'the lease was lost at once')
      await watch.refresh().catch(() => {})
    },
    alive: () => watch.alive(),
    members: () => gossiper?.members() ?? [],
    metrics: () => [...watch.metrics(), ...(gossiper?.metrics() ?? [])],
    own: () => ({
      held: actor.getSnapshot().matches('member'),
      renewedMsAgo: clock.monotonic() - keeper.renewedAtMs,
      termMs: settings.leaseTermMs,
      draining: keeper.draining,
    }),
    drain: () => keeper.drain(),
    async leave() {
      if (!actor.getSnapshot().matches('member')) return
      actor.send({ type: 'leave' })
      await waitFor(actor, (s) => s.status === 'done', { timeout: Infinity })
    },
    close() {
      keeper.stop()
      actor.stop()
      presence?.close()
    },
  }
}
