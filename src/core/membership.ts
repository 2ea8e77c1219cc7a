/**
 * Who is in the cluster, as far as one node has heard: push-pull reconciliation in the manner of Scuttlebutt (van Renesse, Dumitriu,
 * Gough, Thomas: "Efficient Reconciliation and Flow Control for Anti-Entropy Protocols", 2008).
 *
 *   asker     digest            →  "of each member I know this version"
 *   answerer  news, wanted      →  what is newer here, and what is newer there
 *   asker     news              →  what was wanted
 *
 * M1. Only a process itself makes new versions of its entry; everybody else passes them on as they are. So two entries of
 *     one version are the same, and merging is taking the newer one: in any order, any number of times, with one outcome.
 * M2. Versions of one node are ordered by boot, then incarnation, then heartbeat. `boot` is the registry's revision of the lease that
 *     the process created at its start: revisions grow, so a later process of a node has a higher one, and clocks are not asked.
 * M3. Details are sent only to who does not have them: a version that is all heartbeat since what the other knows is three numbers.
 * M4. Gossip informs. It never decides who is dead or who owns what (O5, O1); nor that a later process goes by this node's id, which
 *     its lease tells.
 * M5. A member that nothing new was heard of for long is forgotten, and its last version remembered for as long again, so that a peer
 *     that forgets later does not bring it back. Members and forgotten ones together are at most `maxMembers`; beyond, new
 *     ones are not taken in until old ones are gone.
 * M6. A digest names at most `maxDigest` members, the asker and others by chance, and says how many it knows: what a node sends does not
 *     grow with the cluster. Of those that it does not name nothing is said, unless it is whole: then they are unknown to the asker.
 *     Who knows more members than an asker asks back with a whole digest; there is one where somebody comes, and else there is not.
 *
 * Owns nothing but values; it is called with the time (monotonic, ms) and gives the next state.
 */
import type { Epoch, Incarnation, NodeId, PartitionId, Seq } from '../protocol/ids.ts'

/** Far above any cluster that is supported; it bounds what a hostile or confused peer can make a node keep. */
export const maxMembers = 2_048

/** M6. All members of a small cluster. */
export const maxDigest = 10

/** Names one version of one member's entry (M2). */
export interface MemberVersion {
  readonly id: NodeId
  readonly boot: number
  readonly incarnation: Incarnation
  /** Grows with each tick of the process, from 1. */
  readonly heartbeat: number
}

export interface Member extends MemberVersion {
  /** The heartbeat at which the details were last changed (M3). */
  readonly revised: number
  readonly details: MemberDetails
}

export interface MemberDetails {
  /** Name of the machine: nodes with the same one fail together. */
  readonly host: string
  /** Name of the building or rack: likewise. */
  readonly zone: string
  /** Of the Holdfast that it runs. */
  readonly version: string
  /** Turns in the last second. */
  readonly load: number
  /** It is draining, and will be gone. */
  readonly leaving: boolean
  readonly partitions: readonly HostedPartition[]
}

export const hostedRoles = ['owner', 'standby', 'replaying', 'stopped'] as const
export type HostedRole = (typeof hostedRoles)[number]

export interface HostedPartition {
  readonly partition: PartitionId
  readonly role: HostedRole
  readonly epoch: Epoch
  /** Last record that is in its store. */
  readonly appliedSeq: Seq
  /** Records that it knows of and has not applied. While a snapshot is restored, `appliedSeq` is 0 and these are what is left of it. */
  readonly headLag: number
  /** State hash after `appliedSeq`, hex; two that differ at one sequence are a mismatch (L9). */
  readonly stateHash: string
}

/** A member's entry on its way: whole, or without details where the receiver has them (M3). */
export type News = Member | (MemberVersion & { readonly revised: number; readonly details: null })

/** What an asker says that it knows (M6). */
export interface Digest {
  readonly versions: readonly MemberVersion[]
  /** How many members it knows, itself included: if these are all, the digest is whole. */
  readonly known: number
}

export interface Membership {
  readonly self: NodeId
  readonly members: ReadonlyMap<NodeId, Heard>
  readonly forgotten: ReadonlyMap<NodeId, Forgotten>
}

export interface Heard {
  readonly member: Member
  /** When its heartbeat was last seen to grow. */
  readonly at: number
}

interface Forgotten {
  readonly version: MemberVersion
  readonly at: number
}

export type MemberEvent =
  | { readonly type: 'joined'; readonly member: Member }
  /** A new process of the same node: the former one is dead (O1). */
  | { readonly type: 'replaced'; readonly member: Member; readonly former: Member }
  /** Its heartbeat grew: for the failure detector. */
  | { readonly type: 'beat'; readonly member: Member }
  /** Its details are others than before; it comes with a `beat`. */
  | { readonly type: 'revised'; readonly member: Member; readonly former: Member }
  | { readonly type: 'forgotten'; readonly member: Member }

/** The state of a node that knows only itself. */
export function beginMembership(self: Omit<Member, 'heartbeat' | 'revised'>, now: number): Membership {
  const member: Member = { ...self, heartbeat: 1, revised: 1 }
  return { self: self.id, members: new Map([[self.id, { member, at: now }]]), forgotten: new Map() }
}

/** One more heartbeat of this node itself, with new details where they have changed. */
export function beat(state: Membership, now: number, details?: MemberDetails): Membership {
  const { member } = state.members.get(state.self)!
  const heartbeat = member.heartbeat + 1
  const next = details === undefined ? { ...member, heartbeat } : { ...member, heartbeat, revised: heartbeat, details }
  return { ...state, members: new Map(state.members).set(state.self, { member: next, at: now }) }
}

/** M6. `chance` is uniform in [0, 1). */
export function digestOf(state: Membership, chance: () => number): Digest {
  const named = [state.self, ...peersOf(state, maxDigest - 1, chance)]
  return { versions: named.map((id) => versionOf(state.members.get(id)!.member)), known: state.members.size }
}

/** What to ask back with; `undefined`: nothing (M6). */
export function digestInReturn(state: Membership, { known, versions }: Digest): Digest | undefined {
  if (state.members.size <= known || versions.length >= known) return undefined
  return { versions: [...state.members.values()].map(({ member }) => versionOf(member)), known: state.members.size }
}

/** What is newer here than in the digest, most outdated first, and which members are newer there. */
export function answerDigest(
  state: Membership,
  { versions, known: count }: Digest,
): { readonly news: readonly News[]; readonly wanted: readonly MemberVersion[] } {
  const theirs = new Map(versions.map((version) => [version.id, version]))
  const wanted: MemberVersion[] = []
  for (const version of theirs.values()) {
    if (version.id === state.self) continue
    const ours = state.members.get(version.id)?.member
    const known = ours ?? state.forgotten.get(version.id)?.version
    if (known !== undefined && compareVersions(version, known) <= 0) continue
    // Of one that was forgotten the details are gone: it is asked for as a whole.
    wanted.push(ours === undefined ? { id: version.id, ...neverHeard } : versionOf(ours))
  }
  const outdated: { readonly news: News; readonly gap: number }[] = []
  for (const { member } of state.members.values()) {
    const known = theirs.get(member.id)
    if (known === undefined ? versions.length >= count : compareVersions(member, known) > 0) {
      outdated.push({ news: newsFor(member, known), gap: gapOf(member, known) })
    }
  }
  outdated.sort((a, b) => b.gap - a.gap || (a.news.id < b.news.id ? -1 : 1))
  return { news: outdated.map(({ news }) => news), wanted }
}

/** What another node asked for, most outdated first. */
export const newsOf = (state: Membership, wanted: readonly MemberVersion[]): readonly News[] => {
  const asked = new Set(wanted.map(({ id }) => id))
  const known = new Map([...state.members].filter(([id]) => asked.has(id)))
  return answerDigest({ ...state, members: known, forgotten: new Map() }, { versions: wanted, known: wanted.length })
    .news
}

/** Takes in what is newer than what is known (M1). The events tell what that changed, in the order of the news. */
export function mergeNews(
  state: Membership,
  news: readonly News[],
  now: number,
): readonly [Membership, readonly MemberEvent[]] {
  const members = new Map(state.members)
  const forgotten = new Map(state.forgotten)
  const events: MemberEvent[] = []
  for (const entry of news) {
    if (entry.id === state.self) continue
    const former = members.get(entry.id)?.member
    const known = former ?? forgotten.get(entry.id)?.version
    if (known !== undefined && compareVersions(entry, known) <= 0) continue
    const member = entry.details === null ? completed(entry, former) : entry
    if (member === undefined) continue
    if (known === undefined && members.size + forgotten.size >= maxMembers) continue
    forgotten.delete(member.id)
    members.set(member.id, { member, at: now })
    if (former === undefined) events.push({ type: 'joined', member })
    else if (compareProcesses(member, former) > 0) events.push({ type: 'replaced', member, former })
    else {
      events.push({ type: 'beat', member })
      if (member.revised > former.revised) events.push({ type: 'revised', member, former })
    }
  }
  return [{ ...state, members, forgotten }, events]
}

/** Forgets the members that were not heard of for `afterMs`, and what was forgotten as long ago (M5). Never this node. */
export function forgetSilent(
  state: Membership,
  now: number,
  afterMs: number,
): readonly [Membership, readonly MemberEvent[]] {
  const silent = [...state.members.values()].filter(({ member, at }) => member.id !== state.self && now - at >= afterMs)
  const over = [...state.forgotten].filter(([, { at }]) => now - at >= afterMs)
  if (silent.length === 0 && over.length === 0) return [state, []]
  const members = new Map(state.members)
  const forgotten = new Map(state.forgotten)
  for (const [id] of over) forgotten.delete(id)
  for (const { member } of silent) {
    members.delete(member.id)
    forgotten.set(member.id, { version: versionOf(member), at: now })
  }
  return [{ ...state, members, forgotten }, silent.map(({ member }) => ({ type: 'forgotten', member }))]
}

/** Up to `count` other members, each as likely as the others. `chance` is uniform in [0, 1). */
export function peersOf(state: Membership, count: number, chance: () => number): readonly NodeId[] {
  const others = [...state.members.keys()].filter((id) => id !== state.self)
  return chosenOf(others, count, chance)
}

/** Up to `count` of them, each as likely as the others. `chance` is uniform in [0, 1). */
export function chosenOf(from: readonly NodeId[], count: number, chance: () => number): readonly NodeId[] {
  const ids = [...from]
  const chosen = Math.min(count, ids.length)
  for (let i = 0; i < chosen; i++) {
    const j = i + Math.floor(chance() * (ids.length - i))
    const swapped = ids[i]!
    ids[i] = ids[j]!
    ids[j] = swapped
  }
  return ids.slice(0, chosen)
}

/** Below 0 if `a` is of an earlier process than `b`, 0 if of the same, above 0 if of a later one (M2). */
function compareProcesses(a: MemberVersion, b: MemberVersion): number {
  if (a.boot !== b.boot) return a.boot - b.boot
  return a.incarnation === b.incarnation ? 0 : a.incarnation < b.incarnation ? -1 : 1
}

const compareVersions = (a: MemberVersion, b: MemberVersion): number =>
  compareProcesses(a, b) || a.heartbeat - b.heartbeat

const versionOf = ({ id, boot, incarnation, heartbeat }: MemberVersion): MemberVersion => ({
  id,
  boot,
  incarnation,
  heartbeat,
})

/** The version of a member that somebody has never heard of: older than any. */
const neverHeard = { boot: 0, incarnation: '' as Incarnation, heartbeat: 0 }

function newsFor(member: Member, known: MemberVersion | undefined): News {
  const hasDetails = known !== undefined && compareProcesses(member, known) === 0 && known.heartbeat >= member.revised
  return hasDetails ? { ...versionOf(member), revised: member.revised, details: null } : member
}

/** What is sent first if not all fits: who is new, then who is furthest behind, so that nobody is left out for ever. */
const gapOf = (member: Member, known: MemberVersion | undefined): number =>
  known === undefined || compareProcesses(member, known) !== 0 ? Infinity : member.heartbeat - known.heartbeat

/** A heartbeat with the details that are here, if they are the ones it belongs to. */
function completed(entry: News, here: Member | undefined): Member | undefined {
  if (here === undefined || compareProcesses(entry, here) !== 0 || here.revised !== entry.revised) return undefined
  return { ...entry, details: here.details }
}
