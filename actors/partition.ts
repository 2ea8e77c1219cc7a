/**
 * The partition actor: the life of one partition on one node. The statechart says when, src/partition/host.ts does; a turn never
 * passes through the chart's mailbox.
 *
 *   unowned ─▶ taking ─▶ waiting ─▶ serving ─▶ handing off ─▶ leaving ─▶ unowned
 *      │ ▲      ▲ │ ▲                                            ▲
 *      ▼ │      │ RETRY pause        any of them, when it is no longer wanted at this epoch, is fenced, cannot write a record, or its store fails
 *   resting ─▶ standing by
 *        ▲──────┘ RETRY, or no longer a place for it
 *
 * A1. It claims only at an epoch at which placement names this node, or that placement has noted is to be handed over to this node and
 *     that the log says was: then at the next one, which placement will name. Each epoch once (O1). What placement wants is one value,
 *     `wanted`; every state asks whether it still agrees with it.
 * A2. `stopped` is for what no retry can mend (L1, L4): it says why, keeps the stores, and ends with the process, or when the registry names
 *     another generation of the log (A5).
 * A3. While placement names this node at an epoch that has ended here, it is asked for a higher one.
 * A4. A standby that is to own goes on with the replica that it has. One that fails rests before it begins again, longer each time.
 * A5. The registry's word that the log is of another generation ends whatever there is of the former one; then it begins as if the node had
 *     just started. The word may be missed: who is stopped asks for it.
 */
import { assign, createActor, fromPromise, setup } from 'xstate'
import { BrokenLog } from '../src/core/log.ts'
import { PartitionHost, type HostOptions, type PartitionProgress } from '../src/partition/host.ts'
import type { Incoming } from '../src/partition/owner.ts'
import type { OrderedCut } from '../src/partition/snapshot/keeper.ts'
import type { ClaimResult } from '../src/partition/takeover.ts'
import { labelled, type Metric } from '../src/ports/metrics.ts'
import type { Subscription } from '../src/ports/transport.ts'
import { isHoldfastError, messageOf, type ErrorCode } from '../src/protocol/errors.ts'
import { nextEpoch, type Epoch, type Generation, type NodeId, type PartitionId } from '../src/protocol/ids.ts'

export type PartitionRole = 'none' | 'replaying' | 'standby' | 'owner' | 'handing-off' | 'stopped'

/** What placement wants of this node: to own the partition at an epoch, to stand by (the owner at `heirOf` is to hand over to it), or nothing. */
export type Wanted =
  { readonly role: 'owner'; readonly epoch: Epoch } | { readonly role: 'standby'; readonly heirOf?: Epoch } | null

export interface PartitionStatus {
  readonly partition: PartitionId
  readonly role: PartitionRole
  readonly epoch: Epoch
  readonly progress: PartitionProgress
  /** Why it is stopped. */
  readonly reason: string | undefined
}

export interface PartitionOptions extends Omit<
  HostOptions,
  'onCaughtUp' | 'onHandedOver' | 'onFenced' | 'onBroken' | 'onUnwritable' | 'onStoreFailure'
> {
  /** Placement is asked for an epoch above `epoch` (O1). */
  readonly onEpochSpent: (epoch: Epoch) => void
  /** It cannot be opened here; placement should find another node (O6). */
  readonly onCannotOpen: (epoch: Epoch, reason: string) => void
  /** Subscribes what the owner of the partition answers: frames, scans, requests of watchers and of standbys. */
  readonly listen: () => readonly Subscription[]
}

/** One partition on one node, from the node's start to its end. */
export interface Partition {
  want(wanted: Wanted): void
  submit(incoming: Incoming): void
  watch(request: Uint8Array, inbox: string): Promise<void>
  scan(request: Uint8Array, inbox: string): Promise<void>
  position(inbox: string): Promise<void>
  /** Cuts a snapshot, or tells how far the order of that name has come; `null` where this node is not the owner. */
  orderSnapshot(name: string): OrderedCut | null
  /** The registry names this generation of the log (A5). */
  named(generation: Generation): void
  /** `true` when the hand-off record is committed, now or before, or when there is nothing to hand off because the partition is stopped. */
  handOff(to: NodeId): Promise<boolean>
  reconnected(): void
  metrics(): readonly Metric[]
  status(): PartitionStatus
  /** Ends the ownership if there is one, with a hand-off record if that can be had within `partingMs`, and closes the store. */
  close(partingMs: number): Promise<void>
  crash(): Promise<void>
}

type Event =
  | { readonly type: 'want'; readonly wanted: Wanted }
  | { readonly type: 'handOff'; readonly to: NodeId }
  | { readonly type: 'caughtUp' }
  | { readonly type: 'handedOver'; readonly epoch: Epoch }
  | { readonly type: 'fenced' }
  | { readonly type: 'unwritable' }
  | { readonly type: 'broken'; readonly reason: string }
  | { readonly type: 'named'; readonly generation: Generation }
  | { readonly type: 'storeFailed'; readonly error: unknown }

interface Context {
  readonly options: PartitionOptions
  readonly host: PartitionHost
  readonly wanted: Wanted
  /** The last one that was begun. */
  readonly epoch: Epoch
  /** The last one that was handed over to this node, as its log says. */
  readonly handedOver: Epoch
  /** Of this takeover, or of standing by, one after the other. */
  readonly failures: number
  readonly serveFromMs: number
  readonly to: NodeId | undefined
  readonly handedOff: boolean
  readonly reason: string | undefined
  /** A5 */
  readonly generation: Generation
}

const firstPauseMs = 50
const longestPauseMs = 2_000
const askAgainMs = 500
const askForGenerationMs = 2_000

type Parts = Pick<Context, 'options' | 'host'>
type Why = Parameters<PartitionHost['release']>[0]

const because =
  (why: Why) =>
  ({ context: { host } }: { readonly context: Context }) => ({ host, why })

/** One for all partitions, which there may be hundreds of: each has its host, and what it tells, in its context. */
const machine = setup({
  types: {} as { context: Context; events: Event; input: Parts },
  actors: {
    standBy: fromPromise<void, PartitionHost>(({ input: host, signal }) => host.standBy(signal)),
    takeOver: fromPromise<ClaimResult, Context>(({ input: { host, epoch }, signal }) => host.takeOver(epoch, signal)),
    handOff: fromPromise<boolean, Context>(({ input: { host, to } }) => host.handOff(to!)),
    askGeneration: fromPromise<Generation, PartitionHost>(({ input: host }) => host.namedGeneration()),
    leave: fromPromise<void, { host: PartitionHost; why: Why }>(({ input: { host, why } }) => host.release(why)),
  },
  actions: {
    begin: assign({
      epoch: ({ context }) => wantedEpoch(context) ?? context.epoch,
      failures: 0,
      handedOff: false,
    }),
    awaitOwnership: ({ context: { host, wanted } }) =>
      host.awaitOwnership(wanted?.role === 'owner' || wanted?.heirOf !== undefined),
    beginAnew: ({ context: { host, options, generation } }) => {
      host.begin(generation)
      options.observer.emit({ type: 'log.reseeded', partition: options.partition, generation })
    },
    forget: assign({ epoch: 0 as Epoch, handedOver: 0 as Epoch, failures: 0, handedOff: false, reason: undefined }),
    keepGeneration: assign({ generation: (_, { generation }: { generation: Generation }) => generation }),
    failed: assign({ failures: ({ context }) => context.failures + 1 }),
    serve: ({ context: { host, options, epoch } }) => {
      host.serve()
      options.observer.emit({ type: 'partition.serving', partition: options.partition, epoch })
    },
    caughtUp: ({ context: { host, options } }) => {
      const seq = host.progress.appliedSeq
      options.observer.emit({ type: 'partition.standing-by', partition: options.partition, seq })
    },
    askForEpoch: ({ context }) => {
      if (isWanted(context) && context.epoch > 0) context.options.onEpochSpent(context.epoch)
    },
    cannotOpen: ({ context: { options, epoch } }, { error }: { error: unknown }) => {
      tellStoreFailed(options, error)
      options.onCannotOpen(epoch, messageOf(error))
    },
    cannotKeep: ({ context: { options, epoch } }, { error }: { error: unknown }) =>
      options.onCannotOpen(epoch, messageOf(error)),
    stopped: ({ context: { host, options, reason = '' } }) => {
      host.stop(reason)
      options.observer.emit({ type: 'partition.stopped', partition: options.partition, reason })
    },
  },
  guards: {
    wantedAnew: ({ context }) => (wantedEpoch(context) ?? 0) > context.epoch,
    unwanted: ({ context }) => !isWanted(context),
    wantedToStandBy: ({ context }) => context.wanted?.role === 'standby',
    unwantedToStandBy: ({ context }) => context.wanted?.role !== 'standby',
    another: ({ context: { host } }, { generation }: { generation: Generation }) => generation !== host.generation,
    broken: (_, { error }: { error: unknown }) => error instanceof BrokenLog,
    damaged: (_, { error }: { error: unknown }) => isHoldfastError(error, 'INTERNAL'),
    notHere: (_, { error }: { error: unknown }) => notHere.some((code) => isHoldfastError(error, code)),
  },
  delays: {
    untilServing: ({ context: { options, serveFromMs } }) => Math.max(0, serveFromMs - options.clock.monotonic()),
    pause: ({ context }) => Math.min(firstPauseMs * 2 ** context.failures, longestPauseMs),
    askAgain: askAgainMs,
    askForGeneration: askForGenerationMs,
  },
}).createMachine({
  initial: 'unowned',
  context: ({ input: { options, host } }) => ({
    options,
    host,
    wanted: null,
    epoch: 0 as Epoch,
    handedOver: 0 as Epoch,
    failures: 0,
    serveFromMs: 0,
    to: undefined,
    handedOff: false,
    reason: undefined,
    generation: host.generation,
  }),
  on: {
    named: {
      guard: { type: 'another', params: ({ event }) => event },
      target: '.beginningAnew',
      actions: { type: 'keepGeneration', params: ({ event }) => event },
    },
    want: { actions: [assign({ wanted: ({ event }) => event.wanted }), 'awaitOwnership'] },
    handedOver: { actions: assign({ handedOver: ({ event }) => event.epoch }) },
    broken: { target: '.stopped', actions: assign({ reason: ({ event }) => event.reason }) },
    storeFailed: [
      { guard: { type: 'damaged', params: ({ event }) => event }, target: '.leavingDamaged' },
      { target: '.leavingInDoubt', actions: { type: 'cannotKeep', params: ({ event }) => event } },
    ],
  },
  states: {
    unowned: {
      always: [
        { guard: 'wantedAnew', target: 'taking', actions: 'begin' },
        { guard: 'wantedToStandBy', target: 'resting' },
      ],
      after: { askAgain: { target: 'unowned', reenter: true, actions: 'askForEpoch' } },
      on: { storeFailed: {} },
    },
    resting: {
      always: [
        { guard: 'wantedAnew', target: 'taking', actions: 'begin' },
        { guard: 'unwantedToStandBy', target: 'leaving' },
      ],
      after: { pause: 'standingBy' },
    },
    standingBy: {
      invoke: {
        src: 'standBy',
        input: ({ context }) => context.host,
        onDone: 'resting',
        onError: [
          {
            guard: { type: 'broken', params: ({ event }) => event },
            target: 'stopped',
            actions: assign({ reason: ({ event }) => messageOf(event.error) }),
          },
          { guard: { type: 'damaged', params: ({ event }) => event }, target: 'leavingDamaged', actions: 'failed' },
          {
            guard: { type: 'notHere', params: ({ event }) => event },
            target: 'resting',
            actions: ['failed', { type: 'cannotOpen', params: ({ event }) => event }],
          },
          { target: 'resting', actions: 'failed' },
        ],
      },
      always: [
        { guard: 'wantedAnew', target: 'taking', actions: 'begin' },
        { guard: 'unwantedToStandBy', target: 'leaving' },
      ],
      on: { caughtUp: { actions: ['caughtUp', assign({ failures: 0 })] } },
    },
    taking: {
      invoke: {
        src: 'takeOver',
        input: ({ context }) => context,
        onDone: [
          {
            guard: ({ event }) => event.output.kind === 'claimed',
            target: 'waiting',
            actions: assign({
              serveFromMs: ({ event }) => (event.output.kind === 'claimed' ? event.output.serveFromMs : 0),
            }),
          },
          {
            target: 'leaving',
            actions: ({ context: { options }, event }) => {
              if (event.output.kind === 'outbid') options.onEpochSpent(event.output.by)
            },
          },
        ],
        onError: [
          {
            guard: { type: 'broken', params: ({ event }) => event },
            target: 'stopped',
            actions: assign({ reason: ({ event }) => messageOf(event.error) }),
          },
          { guard: { type: 'damaged', params: ({ event }) => event }, target: 'leavingDamaged' },
          {
            guard: { type: 'notHere', params: ({ event }) => event },
            target: 'leaving',
            actions: { type: 'cannotOpen', params: ({ event }) => event },
          },
          { target: 'failing', actions: 'failed' },
        ],
      },
      always: { guard: 'unwanted', target: 'leaving' },
    },
    failing: {
      after: { pause: 'taking' },
      always: { guard: 'unwanted', target: 'leaving' },
    },
    waiting: {
      after: { untilServing: 'serving' },
      always: { guard: 'unwanted', target: 'leaving' },
    },
    serving: {
      entry: 'serve',
      always: { guard: 'unwanted', target: 'leavingInDoubt' },
      on: {
        handOff: { target: 'handingOff', actions: assign({ to: ({ event }) => event.to }) },
        fenced: 'leaving',
        unwritable: 'leavingInDoubt',
      },
    },
    handingOff: {
      entry: assign({ handedOff: false }),
      invoke: {
        src: 'handOff',
        input: ({ context }) => context,
        onDone: { target: 'leaving', actions: assign({ handedOff: ({ event }) => event.output }) },
      },
      always: { guard: 'unwanted', target: 'leavingInDoubt' },
      on: { fenced: 'leaving', unwritable: 'leavingInDoubt' },
    },
    // A store that is being left may go on failing: once is enough.
    leaving: {
      invoke: { src: 'leave', input: because('nothing happened'), onDone: 'unowned', onError: 'unowned' },
      on: { storeFailed: {} },
    },
    leavingInDoubt: {
      invoke: { src: 'leave', input: because('in doubt'), onDone: 'unowned', onError: 'unowned' },
      on: { storeFailed: {} },
    },
    leavingDamaged: {
      invoke: { src: 'leave', input: because('damaged'), onDone: 'unowned', onError: 'unowned' },
      on: { storeFailed: {} },
    },
    stopped: {
      entry: 'stopped',
      invoke: { src: 'leave', input: because('in doubt'), onError: {} },
      initial: 'resting',
      states: {
        resting: { after: { askForGeneration: 'asking' } },
        asking: {
          invoke: {
            src: 'askGeneration',
            input: ({ context }) => context.host,
            onDone: [
              {
                guard: { type: 'another', params: ({ event }) => ({ generation: event.output }) },
                target: '#beginningAnew',
                actions: { type: 'keepGeneration', params: ({ event }) => ({ generation: event.output }) },
              },
              { target: 'resting' },
            ],
            onError: 'resting',
          },
        },
      },
      on: { storeFailed: {}, broken: {} },
    },
    beginningAnew: {
      id: 'beginningAnew',
      invoke: {
        src: 'leave',
        input: because('in doubt'),
        onDone: { target: 'unowned', actions: ['beginAnew', 'forget'] },
        onError: { target: 'unowned', actions: ['beginAnew', 'forget'] },
      },
      on: {
        storeFailed: {},
        broken: {},
        named: { actions: { type: 'keepGeneration', params: ({ event }) => event } },
      },
    },
  },
})

/** Errors of the store that say that this is not the place for the partition. */
const notHere: readonly ErrorCode[] = ['INVALID', 'CONFLICT']

/** At which this node is to own it now (A1). */
function wantedEpoch({ wanted, handedOver }: Context): Epoch | undefined {
  if (wanted?.role === 'owner') return wanted.epoch
  return wanted?.heirOf === handedOver ? nextEpoch(handedOver) : undefined
}

const isWanted = (context: Context) => wantedEpoch(context) === context.epoch

const roles: Readonly<Record<string, PartitionRole>> = {
  resting: 'replaying',
  standingBy: 'replaying',
  taking: 'replaying',
  failing: 'replaying',
  waiting: 'replaying',
  serving: 'owner',
  handingOff: 'handing-off',
  stopped: 'stopped',
}

/** States in which this node answers for the partition, be it by holding what comes. */
const answering = new Set<string>(['taking', 'failing', 'waiting', 'serving', 'handingOff'])

/** The name of its state; one that has states of its own is one. */
const stateOf = ({ value }: { readonly value: string | object }): string =>
  typeof value === 'string' ? value : Object.keys(value)[0]!

const tellStoreFailed = ({ observer, partition }: PartitionOptions, error: unknown) =>
  observer.emit({ type: 'store.failed', partition, reason: messageOf(error) })

export function createPartition(options: PartitionOptions): Partition {
  /** What the host has to say may come after the end. */
  const tell = (event: Event) => {
    if (actor.getSnapshot().status === 'active') actor.send(event)
  }
  const host = new PartitionHost({
    ...options,
    onCaughtUp: () => tell({ type: 'caughtUp' }),
    onHandedOver: (epoch) => tell({ type: 'handedOver', epoch }),
    onFenced: (by) => {
      const { partition, observer } = options
      observer.emit({
        type: 'partition.fenced',
        partition,
        epoch: actor.getSnapshot().context.epoch,
        by: by?.epoch ?? null,
      })
      tell({ type: 'fenced' })
    },
    onBroken: (error) => tell({ type: 'broken', reason: error.reason }),
    onUnwritable: () => tell({ type: 'unwritable' }),
    onStoreFailure: (error) => {
      tellStoreFailed(options, error)
      tell({ type: 'storeFailed', error })
    },
  })
  const actor = createActor(machine, { clock: options.clock, input: { options, host } })
  let subscriptions: readonly Subscription[] = []
  const role = () => (host.tailing ? 'standby' : (roles[stateOf(actor.getSnapshot())] ?? 'none'))
  actor.subscribe((snapshot) => {
    const answers = answering.has(stateOf(snapshot))
    if (answers === subscriptions.length > 0) return
    for (const subscription of subscriptions) subscription.close()
    subscriptions = answers ? options.listen() : []
  })
  actor.start()

  let finishHandOff: ((done: boolean) => void) | undefined
  let handingOff = Promise.resolve(false)
  actor.subscribe((snapshot) => {
    if (snapshot.value === 'handingOff' || finishHandOff === undefined) return
    finishHandOff(snapshot.context.handedOff)
    finishHandOff = undefined
  })

  const handOff = (to: NodeId): Promise<boolean> => {
    const snapshot = actor.getSnapshot()
    const [value, { context }] = [stateOf(snapshot), snapshot]
    // Who asks again has the answer of the first, to whomever it was to go.
    if (value === 'handingOff') return handingOff
    if (value !== 'serving') return Promise.resolve(value === 'stopped' || context.handedOff)
    handingOff = new Promise((resolve) => {
      actor.send({ type: 'handOff', to })
      finishHandOff = resolve
    })
    return handingOff
  }
  const end = () => {
    actor.stop()
    for (const subscription of subscriptions) subscription.close()
    subscriptions = []
    finishHandOff?.(false)
  }
  return {
    want: (wanted) => tell({ type: 'want', wanted }),
    submit: (incoming) => host.submit(incoming),
    watch: (request, inbox) => host.inquiries.watch(request, inbox),
    scan: (request, inbox) => host.inquiries.scan(request, inbox),
    position: (inbox) => host.inquiries.position(inbox),
    orderSnapshot: (name) => host.orderSnapshot(name),
    named: (generation) => tell({ type: 'named', generation }),
    reconnected: () => host.reconnected(),
    metrics: () => labelled({ partition: String(options.partition) }, host.metrics()),
    handOff,
    status() {
      const { context } = actor.getSnapshot()
      const { partition } = options
      return { partition, role: role(), epoch: context.epoch, progress: host.progress, reason: context.reason }
    },
    async close(partingMs) {
      // Whoever claims next need not wait for a lease that was given up (O4).
      const { clock, node } = options
      const timer = clock.setTimeout(() => finishHandOff?.(false), partingMs)
      if (partingMs > 0) await handOff(node.id)
      clock.clearTimeout(timer)
      end()
      await host.release('in doubt')
    },
    async crash() {
      end()
      await host.crash()
    },
  }
}
