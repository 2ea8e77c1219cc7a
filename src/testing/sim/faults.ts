/**
 * What can happen to a node, to its disk, its clock and its connections, and to the registry.
 *
 * B1. A fault hits one node, or all of them. It begins at once or not at all, where it would change nothing.
 * B2. It ends by itself after a time that chance draws, or when everything heals; whatever it did is taken back then, but for what it cost.
 * B3. Faults of several kinds overlap; two of one kind on one node do not.
 */
import type { NetworkLink } from '../../adapters/memory/network-link.ts'
import type { MemoryProcess } from '../../adapters/memory/world.ts'
import type { SeededRandom } from '../seeded-random.ts'
import { registryLinksOf, type SimCluster, type SimNode } from './cluster.ts'
import { tableOf } from './under-way.ts'

export const faultKinds = [
  'crash',
  'leave',
  'freeze',
  'cut',
  'cut hub',
  'cut changelog',
  'cut registry',
  'lost lease',
  'one way to servers',
  'one way from servers',
  'registry outage',
  'deaf watches',
  'loss',
  'delay',
  'reordering',
  'duplication',
  'bad appends',
  'late appends',
  'late log',
  'wall clock jump',
  'wall clock drift',
  'slow disk',
] as const

export type FaultKind = (typeof faultKinds)[number]

/** Those that hit all nodes at once. */
export const wideFaults: ReadonlySet<FaultKind> = new Set<FaultKind>(['registry outage', 'deaf watches'])

export interface FaultWorld {
  readonly cluster: SimCluster
  readonly random: SeededRandom
  /** How long faults last, beside their usual time: the pace of the cluster. */
  readonly pace: number
  /** Sets the wall clock of a process as it is when nothing happens to it. */
  readonly setClock: (process: MemoryProcess) => void
  /** Starts a node again, unless it was started meanwhile. */
  readonly restart: (name: string) => void
}

/** Begins it. Gives how long it lasts and how it ends; `undefined` where it would change nothing (B1). */
type Begin = (world: FaultWorld, node: SimNode) => { readonly lastsMs: number; readonly end: () => void } | undefined

const kinds: Readonly<Record<FaultKind, Begin>> = {
  crash({ cluster, random, pace, restart }, { name }) {
    cluster.crash(name)
    return { lastsMs: random.between(0, random.chance(0.5) ? 500 : 4_000 * pace), end: () => restart(name) }
  },
  leave({ cluster, random, pace, restart }, { name, leaving }) {
    if (leaving) return undefined
    void cluster.leave(name).then(() => cluster.clock.setTimeout(() => restart(name), random.between(0, 2_000)))
    return { lastsMs: random.between(1_000, 4_000) * pace, end: () => {} }
  },
  freeze({ random, pace }, { process }) {
    if (process.clock.state !== 'running') return undefined
    process.freeze()
    return { lastsMs: random.between(50, 4_000 * pace), end: () => process.thaw() }
  },
  cut: (world, { process }) => cut(world, Object.values(process.links)),
  'cut hub': (world, { process }) => cut(world, [process.links.hub]),
  'cut changelog': (world, { process }) => cut(world, [process.links.changelog]),
  'cut registry'(world, { process }) {
    // By one way, or by both.
    return cut(world, world.random.chance(0.3) ? [process.links.registry] : registryLinksOf(process))
  },
  /** It serves and writes, and cannot renew: until others have taken over what it owns, or a while longer. */
  'lost lease'({ cluster, random, pace }, { name, process }) {
    const mend = cutFromRegistry(process)
    const stopListening = cluster.onStep((step, node) => {
      if (step !== 'waiting out a lease' || node === name) return
      cluster.clock.setTimeout(mend, random.between(0, 2_000 * pace))
    })
    const end = () => {
      stopListening()
      mend()
    }
    return { lastsMs: random.between(2_500, 8_000) * pace, end }
  },
  'one way to servers': (world, { process }) => stall(world, process, 'toServer'),
  'one way from servers': (world, { process }) => stall(world, process, 'toNode'),
  'registry outage'({ cluster, random, pace }) {
    cluster.outage(true)
    return { lastsMs: random.between(500, 5_000 * pace), end: () => cluster.outage(false) }
  },
  'deaf watches'({ cluster, random, pace }) {
    const { registry } = cluster.world
    registry.stalled = true
    return { lastsMs: random.between(500, 5_000 * pace), end: () => void (registry.stalled = false) }
  },
  loss({ random, pace }, { process }) {
    const links = random.chance(0.7) ? [process.links.hub] : Object.values(process.links)
    for (const link of links) link.dropProbability = random.between(0.02, 0.4)
    return onLinks(links, random.between(500, 3_000 * pace), (link) => (link.dropProbability = 0))
  },
  delay({ random, pace }, { process }) {
    const links = random.chance(0.5) ? [random.pick(linksOf(process))] : linksOf(process)
    for (const link of links) link.delayMs = random.between(5, 700)
    return onLinks(links, random.between(500, 3_000 * pace), (link) => {
      link.delayMs = 0
      link.hurry()
    })
  },
  reordering({ random, pace }, { process }) {
    for (const link of linksOf(process)) {
      link.strayProbability = random.between(0.05, 0.5)
      link.strayMs = random.between(5, 300)
    }
    return onLinks(linksOf(process), random.between(500, 4_000 * pace), (link) => (link.strayProbability = 0))
  },
  duplication({ random, pace }, { process }) {
    const { hub } = process.links
    hub.duplicateProbability = random.between(0.05, 0.6)
    return onLinks([hub], random.between(500, 4_000 * pace), (link) => (link.duplicateProbability = 0))
  },
  'bad appends'({ random, pace }, { process }) {
    const { faults } = process.changelog
    const former = { ...faults }
    Object.assign(faults, {
      loseAcknowledgement: 0.2,
      loseRequest: 0.1,
      delay: 0.2,
      refuse: 0.05,
      delayMs: random.between(100, 5_000 * pace),
    })
    const end = () => {
      Object.assign(faults, former)
      process.links.changelog.hurry()
    }
    return { lastsMs: random.between(500, 3_000 * pace), end }
  },
  /**
   * Its lease runs out while its appends are under way, and at times it does not run. They arrive with the claim of another, or with what that
   * appends first: some get a number that was not meant for them (L3). Or it is their acknowledgements that do, which say nothing of whether
   * it still owns anything (O3). Or it hears of its end before it hears of them, and does not know what became of them (R2).
   */
  'late appends'({ cluster, random, pace }, { name, process }) {
    const { changelog } = process.links
    const behind = random.pick(['claiming', 'appending'] as const)
    const acknowledgements = random.chance(0.4)
    const hearsOfItsEnd = acknowledgements && random.chance(0.7)
    const freezes = random.chance(0.2)
    const renew = cutFromRegistry(process)
    changelog.stall(acknowledgements ? 'toNode' : 'toServer')
    if (freezes) process.freeze()
    const arrive = () => changelog.resume()
    const ownerOf = (n: number) => tableOf(cluster.world)?.entries[n]?.owner?.id
    const owned = [...Array(cluster.partitions).keys()].filter((n) => ownerOf(n) === name)
    const claimers = new Set<string>()
    const stopListening = cluster.onStep((step, node) => {
      if (step === 'claiming' && node !== name && owned.some((n) => ownerOf(n) === node)) claimers.add(node)
      if (step !== behind || !claimers.has(node)) return
      cluster.clock.setTimeout(
        hearsOfItsEnd ? renew : arrive,
        random.pick([0, random.between(0, 1), random.between(0, 6)]),
      )
    })
    const end = () => {
      stopListening()
      renew()
      arrive()
      if (freezes) process.thaw()
    }
    return { lastsMs: random.between(2_500, 5_000) * pace, end }
  },
  /** A standby hears from the owner what there is, and does not have it (Q1). */
  'late log'({ random, pace }, { process }) {
    const { changelog } = process.links
    changelog.stall('toNode')
    return onLinks([changelog], random.between(100, 2_000 * pace), (link) => link.resume())
  },
  'wall clock jump'({ random, setClock }, { process }) {
    process.clock.skewMs += random.between(-5_000, 5_000)
    return { lastsMs: random.between(500, 10_000), end: () => setClock(process) }
  },
  'wall clock drift'({ random, pace, setClock }, { process }) {
    process.clock.driftPpm = random.between(-1, 1) * random.pick([500, 50_000, 400_000])
    return { lastsMs: random.between(1_000, 8_000 * pace), end: () => setClock(process) }
  },
  'slow disk'({ cluster, random, pace }, { name }) {
    const disk = cluster.world.disk(name)
    disk.readMs = random.between(1, random.chance(0.3) ? 2_000 : 100)
    disk.writeMs = random.between(1, random.chance(0.3) ? 3_000 : 200)
    return { lastsMs: random.between(500, 4_000 * pace), end: () => healthyDisk(cluster, name) }
  },
}

/** A disk takes a moment for everything, so that there is something to strike into. */
export function healthyDisk({ world }: SimCluster, name: string): void {
  Object.assign(world.disk(name), { readMs: 0.05, writeMs: 0.3 })
}

/** Faults under way, and their ends. */
export class Faults {
  readonly #world: FaultWorld
  readonly #active = new Map<string, () => void>()

  constructor(world: FaultWorld) {
    this.#world = world
  }

  /** `false`: it would change nothing, or one of this kind is under way there (B1, B3). */
  begin(kind: FaultKind, node: SimNode): boolean {
    const { cluster } = this.#world
    const place = wideFaults.has(kind) ? kind : `${kind} ${node.name}`
    if (this.#active.has(place)) return false
    const begun = kinds[kind](this.#world, node)
    if (begun === undefined) return false
    const end = () => {
      if (this.#active.get(place) !== end) return
      this.#active.delete(place)
      cluster.note(`end of ${place}`)
      begun.end()
    }
    this.#active.set(place, end)
    cluster.clock.setTimeout(end, begun.lastsMs)
    return true
  }

  /** A node that it has hit, and whose end has not come. */
  hitBy(kind: FaultKind): SimNode | undefined {
    return [...this.#world.cluster.nodes.values()].find(({ name }) => this.#active.has(`${kind} ${name}`))
  }

  /** Ends all of them (B2). */
  heal(): void {
    for (const end of [...this.#active.values()]) end()
  }
}

const linksOf = ({ links }: MemoryProcess): [NetworkLink, ...NetworkLink[]] => [
  links.hub,
  links.changelog,
  links.registry,
  links.spare,
]

/** By both ways. Gives what takes it back. */
function cutFromRegistry(process: MemoryProcess): () => void {
  const links = registryLinksOf(process)
  for (const link of links) link.cut()
  return () => links.forEach((link) => link.heal())
}

function onLinks(links: readonly NetworkLink[], lastsMs: number, mend: (link: NetworkLink) => void) {
  return { lastsMs, end: () => links.forEach(mend) }
}

function cut({ random, pace }: FaultWorld, links: readonly NetworkLink[]) {
  const noticeAfterMs = random.chance(0.5) ? 0 : random.between(0, 1_500)
  for (const link of links) link.cut({ noticeAfterMs })
  return onLinks(links, random.between(50, 4_000 * pace), (link) => link.heal())
}

/** TCP gives a connection up after a while whose packets do not come back; a keep-alive of NATS does so sooner. */
function stall({ random, pace }: FaultWorld, process: MemoryProcess, direction: 'toServer' | 'toNode') {
  const links = random.chance(0.5) ? [random.pick(linksOf(process))] : linksOf(process)
  const breakAfterMs = random.between(100, 6_000)
  for (const link of links) link.stall(direction, { breakAfterMs })
  return onLinks(links, random.between(50, 4_000 * pace), (link) => {
    link.resume()
    link.heal()
  })
}
