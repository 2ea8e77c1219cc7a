/** One partition in a world in memory whose time runs by itself, and what its tests need to look at it. */
import { expect } from 'vitest'
import { MemoryWorld, type MemoryProcess } from '../../src/adapters/memory/world.ts'
import { genesisRecord, judge, startOfLog, type Verdict } from '../../src/core/log.ts'
import { LoopShare } from '../../src/partition/loop-share.ts'
import { Replica, type ReplicaOptions } from '../../src/partition/replica.ts'
import { defaultPartitionSettings, type PartitionSettings } from '../../src/partition/settings.ts'
import type { TakeoverOptions } from '../../src/partition/takeover.ts'
import type { Changelog, PartitionLog } from '../../src/ports/changelog.ts'
import type { HoldfastEvent, Observer } from '../../src/ports/observer.ts'
import {
  generation,
  incarnation,
  nextSeq,
  partitionId,
  seq,
  type NodeId,
  type NodeRef,
} from '../../src/protocol/ids.ts'
import { decodeRecord, type LogRecord } from '../../src/protocol/record.ts'
import { subjectsOf } from '../../src/protocol/subjects.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'

export const p0 = partitionId(0)
export const g1 = generation('firstGeneration1234567')
export const subjects = subjectsOf('test')

/** Keeps all events, and tells who waits for one. */
export class Events implements Observer {
  readonly all: HoldfastEvent[] = []

  emit(event: HoldfastEvent): void {
    this.all.push(event)
  }

  of<T extends HoldfastEvent['type']>(type: T): Extract<HoldfastEvent, { type: T }>[] {
    return this.all.filter((event): event is Extract<HoldfastEvent, { type: T }> => event.type === type)
  }
}

/** A process of the world with its ports, its events, and its name as a node. */
export interface TestNode {
  readonly process: MemoryProcess
  readonly events: Events
  readonly ref: NodeRef
}

export class PartitionWorld {
  readonly world: MemoryWorld
  #starts = 0

  constructor(seed: string, options: { readonly maxPayload?: number } = {}) {
    this.world = new MemoryWorld({ random: new SeededRandom(seed), ...options })
    this.world.changelog.provision(p0, g1, genesisRecord(p0, g1))
  }

  get clock() {
    return this.world.clock
  }

  start(name: string): TestNode {
    const events = new Events()
    const process = this.world.start(name, events)
    return { process, events, ref: { id: name as NodeId, incarnation: incarnation(`${name}${++this.#starts}`) } }
  }

  /** Waits in virtual time. */
  settle<T>(promise: Promise<T>, limitMs = 60_000): Promise<T> {
    return this.clock.settle(promise, limitMs)
  }

  until(done: () => boolean, limitMs = 60_000): Promise<void> {
    return this.clock.runUntil(done, limitMs)
  }

  takeover(node: TestNode, changes: Partial<TakeoverOptions> = {}): TakeoverOptions {
    return {
      partition: p0,
      generation: g1,
      stores: node.process.stores,
      registry: node.process.registry,
      objects: node.process.objects,
      compression: node.process.compression,
      log: node.process.changelog.log(p0),
      node: node.ref,
      leaseMs: defaultPartitionSettings.leaseMs,
      share: new LoopShare(node.process.clock, defaultPartitionSettings.sliceMs),
      signal: new AbortController().signal,
      ...replicaOptions(node),
      ...changes,
    }
  }

  async openReplica(node: TestNode, changes: Partial<ReplicaOptions> = {}): Promise<Replica> {
    const opening = node.process.stores.open(p0).then((store) => {
      return Replica.open(store, p0, g1, { ...replicaOptions(node), ...changes })
    })
    return this.settle(opening)
  }

  /** What every reader finds in the log as the server has it. */
  judged(): readonly Verdict[] {
    let position = startOfLog(p0, g1)
    return this.world.changelog.recordsOf(p0).map((record) => {
      const verdict = judge(position, nextSeq(position.seq), record)
      if (verdict.kind !== 'broken') ({ position } = verdict)
      return verdict
    })
  }

  validRecords(): LogRecord[] {
    return this.judged().flatMap((verdict) => (verdict.kind === 'valid' ? [verdict.record] : []))
  }

  records(): LogRecord[] {
    return this.world.changelog.recordsOf(p0).map(decodeRecord)
  }

  /** As the server would take it from anybody. */
  append(record: Uint8Array): void {
    const last = this.world.changelog.info(p0)!.last
    expect(this.world.changelog.append(p0, record, seq(last)).kind).toBe('accepted')
  }
}

export const replicaOptions = (node: TestNode): ReplicaOptions => ({
  clock: node.process.clock,
  observer: node.events,
  applyEveryMs: 5,
  cacheBytes: () => 1_000_000,
  onStoreFailure: (error) => {
    throw error
  },
})

export const settingsWith = (changes: Partial<PartitionSettings>): PartitionSettings => ({
  ...defaultPartitionSettings,
  ...changes,
})

/** A changelog with other logs in front of its own. */
export const watching = (inner: Changelog, watch: (log: PartitionLog) => PartitionLog): Changelog => ({
  provision: (...given) => inner.provision(...given),
  log: (partition) => watch(inner.log(partition)),
  close: () => inner.close(),
})
