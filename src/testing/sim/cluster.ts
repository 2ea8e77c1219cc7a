/**
 * A whole cluster in one process: the modules that ship, on the in-memory adapters, under a virtual clock and a seed.
 *
 * U1. Nothing of a run comes from outside of it: the same options and the same calls give the same run, and the same fingerprint.
 * U2. A node is given taps of its ports (taps.ts), and knows nothing of a simulation.
 */
import { createNodeActor, type Node, type NodeOptions, type NodeSettingsInput } from '../../../actors/node.ts'
import type { NetworkLink } from '../../adapters/memory/network-link.ts'
import { MemoryWorld, type MemoryProcess } from '../../adapters/memory/world.ts'
import type { ActorDefinition } from '../../behaviour/definition.ts'
import { Session } from '../../client/session.ts'
import type { ClusterSettings } from '../../partition/provision.ts'
import { silent, type HoldfastEvent } from '../../ports/observer.ts'
import type { Transport } from '../../ports/transport.ts'
import { isNodeId } from '../../protocol/ids.ts'
import { SeededRandom } from '../seeded-random.ts'
import { Fingerprint } from './fingerprint.ts'
import { Steps, type Step } from './steps.ts'
import { tapChangelog, tapNodeTransport, tapRegistry, tapStores, tapTransport } from './taps.ts'
import { follow } from './under-way.ts'

export const clusterName = 'sim'

export interface SimNode {
  readonly name: string
  readonly process: MemoryProcess
  readonly node: Node
  readonly started: Promise<void>
  readonly steps: Steps
  /** It was told to leave, and has not left yet. */
  leaving: boolean
}

export interface SimOptions {
  readonly seed: number
  /** Default 4. */
  readonly partitions?: number
  readonly definitions: readonly ActorDefinition[]
  readonly settings?: NodeSettingsInput
  /** Default: that of the cluster's settings. */
  readonly leaseMs?: number
  /** Default: all in one. */
  readonly zoneOf?: (name: string) => string
}

export interface SimEvent {
  readonly atMs: number
  readonly node: string
  readonly event: HoldfastEvent
}

type StepListener = (step: Step, node: string) => void

export class SimCluster {
  readonly random: SeededRandom
  readonly world: MemoryWorld
  readonly nodes = new Map<string, SimNode>()
  readonly events: SimEvent[] = []
  readonly fingerprint = new Fingerprint()
  /** Is told of each node that starts. */
  onStart: (process: MemoryProcess) => void = () => {}
  readonly #onStep = new Set<StepListener>()
  readonly #options: SimOptions
  readonly #sessions: Session[] = []
  #outage = false
  readonly #notes: { readonly atMs: number; readonly text: string }[] = []

  constructor(options: SimOptions) {
    this.#options = options
    this.random = new SeededRandom(options.seed)
    this.world = new MemoryWorld({ random: this.random.fork('world') })
  }

  get clock() {
    return this.world.clock
  }

  get partitions(): number {
    return this.#options.partitions ?? 4
  }

  /** Starts a node, or starts it again on its old disk. */
  start(name: string): SimNode {
    const { definitions, settings, leaseMs, zoneOf = () => 'one' } = this.#options
    if (!isNodeId(name)) throw new Error(`${name} is no node id`)
    const steps = new Steps((step) => this.#began(step, name))
    const observer = {
      emit: (event: HoldfastEvent) => {
        this.#saw(name, event)
        follow(event, steps, this.nodes)
      },
    }
    const process = this.world.start(name, observer)
    if (this.#outage) for (const link of registryLinksOf(process)) link.cut()
    this.onStart(process)
    const { clock, random } = process
    const tap = { clock: this.clock, fingerprint: this.fingerprint, cluster: clusterName, node: name, steps }
    const ports = {
      transport: tapNodeTransport(process.transport, tap),
      changelog: tapChangelog(process.changelog, tap),
      registry: tapRegistry(process.registry, tap),
      spare: {
        registry: tapRegistry(process.spare.registry, tap),
        transport: tapTransport(process.spare.transport, tap),
      },
      stores: tapStores(process.stores, tap),
      objects: process.objects,
      compression: process.compression,
      clock,
      random,
      observer,
    }
    const clusterSettings: Partial<Omit<ClusterSettings, 'format'>> = {
      partitions: this.partitions,
      ...(leaseMs === undefined ? {} : { leaseMs }),
    }
    const options: NodeOptions = {
      cluster: clusterName,
      id: name,
      host: name,
      zone: zoneOf(name),
      weight: 1,
      version: '0.0.0',
      definitions,
      clusterSettings,
      ...(settings === undefined ? {} : { settings }),
    }
    const node = createNodeActor(ports, options)
    const started = node.start()
    started.catch(() => {})
    const simNode: SimNode = { name, process, node, started, steps, leaving: false }
    this.nodes.set(name, simNode)
    this.#began('joining', name)
    return simNode
  }

  /** SIGKILL. */
  crash(name: string): void {
    this.nodes.get(name)?.process.crash()
    this.nodes.delete(name)
  }

  /** SIGTERM: it drains and closes. Resolves when it is gone; never where it is killed meanwhile. */
  async leave(name: string): Promise<void> {
    const leaver = this.nodes.get(name)
    if (leaver === undefined) return
    const { node, process } = leaver
    leaver.leaving = true
    this.#began('leaving', name)
    // Where nothing can be moved it goes all the same.
    await node.drain().catch(() => {})
    await node.close()
    await process.stores.close()
    this.nodes.delete(name)
  }

  /** Is told when a step may have begun (E2 of steps.ts), until what it gives is called. */
  onStep(listener: StepListener): () => void {
    this.#onStep.add(listener)
    return () => this.#onStep.delete(listener)
  }

  /** The registry answers nobody, those included who start meanwhile; or it does again. */
  outage(begins: boolean): void {
    this.#outage = begins
    for (const { process } of this.nodes.values()) {
      for (const link of registryLinksOf(process)) {
        if (begins) link.cut()
        else link.heal()
      }
    }
  }

  /** A client in a process of its own. */
  client(name: string, timeoutMs?: number): { readonly session: Session; readonly process: MemoryProcess } {
    const { process, transport } = this.outsider(name)
    const { clock, random } = process
    const session = new Session(
      { transport, clock, random, observer: silent },
      { cluster: clusterName, ...(timeoutMs === undefined ? {} : { timeoutMs }) },
    )
    this.#sessions.push(session)
    return { session, process }
  }

  /** A process that is no node, with a transport that looks on. */
  outsider(name: string): { readonly process: MemoryProcess; readonly transport: Transport } {
    const process = this.world.start(name)
    const tap = { clock: this.clock, fingerprint: this.fingerprint, cluster: clusterName }
    return { process, transport: tapTransport(process.transport, tap) }
  }

  /** Until every partition has an owner that serves. */
  async settled(limitMs = 30_000): Promise<void> {
    const serving = () => {
      const owners = [...this.nodes.values()].flatMap(({ node }) =>
        node.status().partitions.filter(({ role }) => role === 'owner'),
      )
      return new Set(owners.map(({ partition }) => partition)).size === this.partitions
    }
    await this.clock.runUntil(serving, limitMs)
  }

  /** Ends everything. */
  async close(): Promise<void> {
    for (const session of this.#sessions) session.close()
    for (const name of [...this.nodes.keys()]) this.crash(name)
    await this.clock.advance(0)
  }

  /** What the simulation itself does, for the trace and the fingerprint. */
  note(text: string): void {
    this.#notes.push({ atMs: this.clock.monotonic(), text })
    this.fingerprint.text(text)
  }

  /** What happened, line by line, for a failing run. Default: all of it. */
  trace(last = Infinity): string {
    const lines = [
      ...this.#notes.map(({ atMs, text }) => ({ atMs, text: `* ${text}` })),
      ...this.events.map(({ atMs, node, event }) => ({ atMs, text: `${node} ${shown(event)}` })),
    ]
    return lines
      .toSorted((a, b) => a.atMs - b.atMs)
      .slice(-last)
      .map(({ atMs, text }) => `${atMs.toFixed(1).padStart(10)} ${text}`)
      .join('\n')
  }

  #began(step: Step, node: string): void {
    for (const listener of [...this.#onStep]) listener(step, node)
  }

  #saw(node: string, event: HoldfastEvent): void {
    const atMs = this.clock.monotonic()
    this.events.push({ atMs, node, event })
    this.fingerprint.number(atMs)
    this.fingerprint.text(shown(event))
  }
}

/** As one line. Without the stack of an error, which has paths. */
export const shown = (event: HoldfastEvent): string =>
  JSON.stringify(event, (_, value: unknown) => (value instanceof Error ? String(value) : value))

/** Both ways to it. */
export const registryLinksOf = ({ links }: MemoryProcess): readonly NetworkLink[] => [links.registry, links.spare]
