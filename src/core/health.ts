/**
 * Whether a node lives, and whether it is ready: what a supervisor is told. Pure.
 *
 * H1. A node lives while it can go on by itself. What lies outside of it, a server that is away, kills nobody: a restart would not mend it,
 *     and would cost every partition a takeover.
 * H2. A node is ready when it does what the cluster counts on it for: it is a member whose lease was renewed within its term, its connection
 *     is up, and it serves every partition that placement names it for, or follows its log where it is to stand by: else what is restarted
 *     one after the other would take the second copy away while the first one is not there yet.
 * H3. Every reason is told, up to `mostReasons`; then how many more there are.
 */
import type { Epoch, PartitionId } from '../protocol/ids.ts'

export interface HealthFacts {
  readonly state: 'starting' | 'running' | 'leaving' | 'closed' | 'crashed' | 'fenced'
  /** To the server. */
  readonly connected: boolean
  /** `undefined` before it has begun to join. */
  readonly lease: OwnLease | undefined
  /** Partitions for which placement names this node; `undefined` before it has seen the table. */
  readonly named: readonly NamedPartition[] | undefined
}

/** How a node's own lease stands. */
export interface OwnLease {
  /** This process is a member. */
  readonly held: boolean
  /** Since the last renewal that succeeded was sent, ms. */
  readonly renewedMsAgo: number
  readonly termMs: number
  /** The partitions of this node are to be moved away. */
  readonly draining: boolean
}

export interface NamedPartition {
  readonly partition: PartitionId
  /** What it is to be. */
  readonly as: 'owner' | 'standby'
  readonly epoch: Epoch
  /** As this node has it now. */
  readonly role: string
  readonly roleEpoch: Epoch
  /** Why it is stopped. */
  readonly reason: string | undefined
}

export type ReasonCode =
  | 'state'
  | 'draining'
  | 'disconnected'
  | 'not-a-member'
  | 'lease-not-renewed'
  | 'no-table'
  | 'partition-not-served'
  | 'more'

export interface Reason {
  readonly code: ReasonCode
  readonly message: string
}

/** Nothing that speaks against it: yes. */
export type Verdict = readonly Reason[]

export const mostReasons = 16

/** Whether it lives (H1). */
export function liveness({ state }: HealthFacts): Verdict {
  return state in endings ? [{ code: 'state', message: endings[state as keyof typeof endings] }] : []
}

const endings = {
  fenced: 'another process runs as this node, or this one was declared dead for good: end it',
  crashed: 'the node has crashed: end the process',
  closed: 'the node is closed: end the process',
} as const

/** Whether it is ready (H2). */
export function readiness(facts: HealthFacts): Verdict {
  const { state, connected, lease, named } = facts
  const dead = liveness(facts)
  if (dead.length > 0) return dead
  const reasons: Reason[] = []
  if (state !== 'running') reasons.push({ code: 'state', message: `the node is ${state}` })
  if (lease?.draining === true) reasons.push({ code: 'draining', message: 'its partitions are being moved away' })
  if (!connected) reasons.push({ code: 'disconnected', message: 'there is no connection to the server' })
  if (lease?.held !== true) reasons.push({ code: 'not-a-member', message: 'it has no lease' })
  else if (lease.renewedMsAgo > lease.termMs) {
    const ago = Math.round(lease.renewedMsAgo)
    reasons.push({
      code: 'lease-not-renewed',
      message: `its lease was renewed ${ago} ms ago; its term is ${lease.termMs} ms`,
    })
  }
  if (named === undefined) reasons.push({ code: 'no-table', message: 'it has not seen the placement table' })
  else reasons.push(...named.filter((each) => !isServed(each)).map(notServed))
  if (reasons.length <= mostReasons) return reasons
  const rest = reasons.length - mostReasons
  return [...reasons.slice(0, mostReasons), { code: 'more', message: `and ${rest} more` }]
}

/**
 * A partition that is being handed off is on its way by order, and for no longer than the step of a move; one that was handed over to this
 * node is served before placement names it.
 */
const isServed = ({ as, epoch, role, roleEpoch }: NamedPartition): boolean =>
  as === 'standby'
    ? role === 'standby' || (role === 'owner' && roleEpoch > epoch)
    : (role === 'owner' || role === 'handing-off') && roleEpoch === epoch

function notServed({ partition, as, epoch, role, roleEpoch, reason }: NamedPartition): Reason {
  const why = reason === undefined ? '' : `: ${reason}`
  if (as === 'standby') {
    const is = role === 'none' ? 'has not begun' : `is ${role}`
    const message = `partition ${partition} is to be stood by for, and ${is} here${why}`
    return { code: 'partition-not-served', message }
  }
  const is = role === 'none' ? 'has not begun' : `is ${role} at epoch ${roleEpoch}`
  return {
    code: 'partition-not-served',
    message: `partition ${partition} is to be served at epoch ${epoch} and ${is}${why}`,
  }
}
