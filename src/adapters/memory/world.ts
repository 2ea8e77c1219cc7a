/**
 * A whole world in memory: a virtual clock, one server (hub, changelog, registry, objects) and nodes with links to it, all from one
 * seed. What the simulator and the test cluster stand on.
 *
 * W1. The same seed and the same calls give the same run, event by event.
 * W2. Whatever runs in a node enters it by the node's own clock, so freezing or crashing the clock stops the node as a whole.
 * W3. A node's disk outlives its processes; every start of a node is a new process with new connections.
 */
import type { Objects } from '../../ports/objects.ts'
import { silent, type Observer } from '../../ports/observer.ts'
import type { Compression } from '../../ports/compression.ts'
import type { Random } from '../../ports/random.ts'
import { MemoryCompression } from './compression.ts'
import type { Registry } from '../../ports/registry.ts'
import { MemoryChangelog, type MemoryChangelogHandle } from './changelog.ts'
import { MemoryHub } from './hub.ts'
import { NetworkLink } from './network-link.ts'
import { MemoryObjects } from './objects.ts'
import { MemoryRegistry } from './registry.ts'
import { MemoryDisk, type MemoryStores } from './stores.ts'
import type { MemoryTransport } from './transport.ts'
import { VirtualClock, type NodeClock } from './virtual-clock.ts'

/** Chance that can be split into streams by name, so that one part's draws never shift another's. */
export interface ForkableRandom extends Random {
  fork(name: string): ForkableRandom
}

export interface MemoryWorldOptions {
  /** All chance of this world. */
  readonly random: ForkableRandom
  /** One way between a node and the server, in ms. Default 0.1 … 1. */
  readonly latencyMs?: readonly [low: number, high: number]
  /** Default 2,000. */
  readonly appendTimeoutMs?: number
  /** Default 2,000. */
  readonly registryTimeoutMs?: number
  /** Default 2,000. */
  readonly objectsTimeoutMs?: number
  /** Default 1 MiB. */
  readonly maxPayload?: number
}

export class MemoryWorld {
  readonly clock = new VirtualClock()
  readonly hub: MemoryHub
  readonly changelog: MemoryChangelog
  readonly registry = new MemoryRegistry()
  readonly objects = new MemoryObjects()
  readonly options: MemoryWorldOptions
  readonly #disks = new Map<string, MemoryDisk>()
  readonly #starts = new Map<string, number>()

  constructor(options: MemoryWorldOptions) {
    this.options = options
    this.hub = new MemoryHub({
      random: options.random.fork('hub'),
      ...(options.maxPayload === undefined ? {} : { maxPayload: options.maxPayload }),
    })
    this.changelog = new MemoryChangelog({ maxRecord: this.hub.maxPayload - 1_024 })
  }

  /** Starts a process by this name (a node, or a client that needs no disk), connected to everything. */
  start(name: string, observer: Observer = silent): MemoryProcess {
    const life = (this.#starts.get(name) ?? 0) + 1
    this.#starts.set(name, life)
    return new MemoryProcess(this, name, `${name}-${life}`, observer)
  }

  /** What the processes of this name keep. */
  disk(name: string): MemoryDisk {
    let disk = this.#disks.get(name)
    if (disk === undefined) this.#disks.set(name, (disk = new MemoryDisk()))
    return disk
  }
}

/** One process: its ports, and the switches for what can happen to it. */
export class MemoryProcess {
  readonly name: string
  readonly clock: NodeClock
  readonly random: ForkableRandom
  readonly transport: MemoryTransport
  readonly changelog: MemoryChangelogHandle
  readonly registry: Registry
  /** By a link of their own. */
  readonly spare: { readonly registry: Registry; readonly transport: MemoryTransport }
  readonly objects: Objects
  readonly compression: Compression = new MemoryCompression()
  readonly stores: MemoryStores
  /** Five links to the one server: each can be cut or slowed alone. */
  readonly links: {
    readonly hub: NetworkLink
    readonly changelog: NetworkLink
    readonly registry: NetworkLink
    readonly spare: NetworkLink
    readonly objects: NetworkLink
  }
  readonly #world: MemoryWorld
  readonly #diskRandom: Random

  constructor(world: MemoryWorld, name: string, life: string, observer: Observer) {
    const { latencyMs, appendTimeoutMs, registryTimeoutMs, objectsTimeoutMs } = world.options
    this.#world = world
    this.name = name
    this.clock = world.clock.nodeClock()
    this.random = world.options.random.fork(life)
    this.#diskRandom = this.random.fork('disk')
    const link = (to: string) =>
      new NetworkLink({
        server: world.clock,
        node: this.clock,
        random: this.random.fork(`link to ${to}`),
        ...(latencyMs === undefined ? {} : { latencyMs }),
      })
    this.links = {
      hub: link('hub'),
      changelog: link('changelog'),
      registry: link('registry'),
      spare: link('hub and registry by the spare way'),
      objects: link('objects'),
    }
    this.transport = world.hub.connect({ link: this.links.hub, name: life, observer })
    this.changelog = world.changelog.connect({
      link: this.links.changelog,
      clock: this.clock,
      random: this.random.fork('appends'),
      ...(appendTimeoutMs === undefined ? {} : { appendTimeoutMs }),
    })
    const registryBy = (link: NetworkLink) =>
      world.registry.connect({
        link,
        clock: this.clock,
        ...(registryTimeoutMs === undefined ? {} : { timeoutMs: registryTimeoutMs }),
      })
    this.registry = registryBy(this.links.registry)
    this.spare = {
      registry: registryBy(this.links.spare),
      transport: world.hub.connect({ link: this.links.spare, name: `${life}-spare`, observer }),
    }
    this.objects = world.objects.connect({
      link: this.links.objects,
      clock: this.clock,
      ...(objectsTimeoutMs === undefined ? {} : { timeoutMs: objectsTimeoutMs }),
    })
    this.stores = world.disk(name).process({ clock: this.clock })
  }

  /** Cuts all links; both ends notice after `noticeAfterMs` (default 0: at once). */
  cut(options: { readonly noticeAfterMs?: number } = {}): void {
    for (const link of Object.values(this.links)) link.cut(options)
  }

  heal(): void {
    for (const link of Object.values(this.links)) link.heal()
  }

  /** As by SIGSTOP. */
  freeze(): void {
    this.clock.freeze()
  }

  /** As by SIGCONT. */
  thaw(): void {
    this.clock.thaw()
  }

  /** As by SIGKILL, with a disk that may lose its unsafe tail. The server notices after `noticeAfterMs` (default 0). */
  crash(options: { readonly noticeAfterMs?: number } = {}): void {
    if (this.clock.state === 'crashed') return
    this.clock.crash()
    this.cut(options)
    this.#world.disk(this.name).crash(this.stores, this.#diskRandom)
  }
}
