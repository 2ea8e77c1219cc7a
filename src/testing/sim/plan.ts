/**
 * What a seed draws before its run begins: the cluster, its pace, its work, and which faults there are and how often.
 *
 * D1. Swarm testing: most seeds have few kinds of faults, so that what one kind would hide from another is seen, too; some have all.
 * D2. Pace: all intervals of membership, gossip and placement are 1 to 8 times their defaults. What is quiet is cheap then, and the
 *     phases are as many intervals long; what a cluster promises must not depend on how its intervals relate to latencies.
 */
import type { NodeSettingsInput } from '../../../actors/node.ts'
import type { SeededRandom } from '../seeded-random.ts'
import { faultKinds, type FaultKind } from './faults.ts'

export interface Plan {
  /** Names of the nodes that there are when all is well. */
  readonly nodes: readonly string[]
  readonly partitions: number
  readonly standbys: number
  readonly leaseMs: number
  readonly zones: number
  /** How far the wall clock of each node is ahead when nothing happens to it, virtual ms. */
  readonly skewMs: Readonly<Record<string, number>>
  /** D2 */
  readonly pace: number
  readonly settings: NodeSettingsInput
  readonly kinds: readonly FaultKind[]
  /** Between the ends of two strikes, virtual ms. */
  readonly gapMs: readonly [low: number, high: number]
  /** How often a strike that waits for a step has something done that leads to it. */
  readonly provokes: number
  /** A client hears only so much of the news of who owns what. */
  readonly deafness: number
  /** Whether there is a client that hears nothing of who owns what (stubborn.ts). */
  readonly stubborn: boolean
  /** Entries with a term, beside the ledgers, and whether their owners are struck when one has expired. */
  readonly entries: 'none' | 'read' | 'struck'
  /** Of the watcher, at most in a page. */
  readonly pageChanges: number
  /** Of each client, one operation at a time each: where nothing is answered, so many pile up. */
  readonly workers: number
  /** How long a worker rests before each operation while there are faults, at most, and how long otherwise; virtual ms. */
  readonly restsMs: { readonly busy: number; readonly idle: number }
  readonly rounds: readonly Round[]
}

/** Quiet, faults, healing and convergence, and quiet again: at times for long, which finds little and costs as much as the faults. */
export interface Round {
  readonly calmMs: number
  readonly faultsMs: number
  readonly restMs: number
}

/** What is nothing to clusters without standbys is drawn by itself. */
const common: readonly FaultKind[] = faultKinds.filter((kind) => kind !== 'late log')

export function planOf(random: SeededRandom): Plan {
  const nodes = ['a', 'b', 'c', 'd'].slice(0, random.pick([1, 2, 2, 3, 3, 3, 3, 4]))
  const standbys = random.pick([0, 1, 1, 1, 2])
  const pace = random.pick([1, 2, 4, 8, 8])
  const kindCount = random.pick([1, 2, 2, 3, 4, 6, common.length])
  const kinds = shuffled(common, random).slice(0, kindCount)
  // The interleaving that the log's rules were made for (L3) asks for more than chance: appends that are late, and many of them.
  const late = random.chance(0.3)
  if (late) kinds.push('late appends')
  // So does a standby that knows of more than it has (Q1).
  if (standbys > 0 && random.fork('late log').chance(0.25)) kinds.push('late log')
  const workers = late ? 10 : random.pick([2, 4, 10])
  const skew = random.pick([0, 0, 50, 1_500])
  const often = random.pick([100, 500, 2_000])
  return {
    nodes,
    partitions: random.pick([1, 2, 4, 4, 8]),
    standbys,
    leaseMs: random.pick([500, 500, 200, 1_000]),
    zones: random.pick([1, 2]),
    skewMs: Object.fromEntries(nodes.map((name) => [name, random.between(-skew, skew)])),
    pace,
    settings: {
      partition: {
        // Often every turn is worth an append of its own, so that pipelines are long and their second halves get behind claims.
        groupBytes: late ? 1 : random.pick([1, 1, 32 * 1_024]),
        appendWindow: late ? random.pick([4, 8]) : random.pick([1, 4, 4, 8]),
        expireEveryMs: 1_000 * pace,
        // As nodes have it by default, no log here is worth a snapshot.
        snapshotBytes: random.pick([1e9, 2_048, 8_192]),
        snapshotLookEveryMs: 500 * pace,
        retention: random.pick([
          { ageMs: 86_400_000, bytes: 1e9 },
          { ageMs: 5_000 * pace, bytes: 16_384 },
        ]),
      },
      gossip: { tickMs: Math.min(200 * pace * random.pick([1, 2, 4]), 2_000) },
      membership: { renewEveryMs: 500 * pace, leaseTermMs: 2_000 * pace },
      placement: { standbys, planEveryMs: 200 * pace, pollTableEveryMs: 1_000 * pace, pollLeaderEveryMs: 500 * pace },
    },
    kinds,
    gapMs: [0, often * Math.sqrt(pace)],
    provokes: random.pick([0, 0.7, 0.7]),
    deafness: random.pick([0, 0, 0.15, 0.5]),
    stubborn: random.chance(0.4),
    entries: random.pick(['none', 'none', 'none', 'read', 'struck']),
    pageChanges: random.pick([1, 4, 1_000]),
    workers,
    restsMs: {
      busy: random.pick(late ? [30] : [30, 150, 600]) * workers * Math.sqrt(pace),
      idle: Math.min(20_000 * workers, 80_000),
    },
    rounds: Array.from({ length: random.pick([1, 2, 2, 3]) }, () => ({
      calmMs: random.between(2_000, 20_000),
      faultsMs: random.between(8_000, 20_000) + 2_000 * pace,
      restMs: (random.chance(0.3) ? random.between(10_000, 60_000) : random.between(1_000, 5_000)) * pace,
    })),
  }
}

function shuffled<T>(of: readonly T[], random: SeededRandom): T[] {
  return of
    .map((item) => ({ item, at: random.next() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ item }) => item)
}
