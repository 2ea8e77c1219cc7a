/**
 * Snapshots as users have them: stores of RocksDB, objects and registry of an embedded server, on a real disk. The log alone is in memory, since
 * nothing of it is under test here.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EmbeddedServer, type EmbeddedConnection } from '../../../src/adapters/embedded/server.ts'
import { RocksDbStores } from '../../../src/adapters/rocksdb/stores.ts'
import { SystemClock } from '../../../src/adapters/system/clock.ts'
import { SystemCompression } from '../../../src/adapters/system/compression.ts'
import { SystemRandom } from '../../../src/adapters/system/random.ts'
import { judge } from '../../../src/core/log.ts'
import { Replica } from '../../../src/partition/replica.ts'
import type { CutOptions } from '../../../src/partition/snapshot/cut.ts'
import type { RestoreOptions } from '../../../src/partition/snapshot/restore.ts'
import { allRows } from '../../../src/partition/store-layout.ts'
import type { Store, Stores } from '../../../src/ports/store.ts'
import { nextSeq } from '../../../src/protocol/ids.ts'
import { LogWriter } from '../log-writer.ts'
import { Events, g1, p0, PartitionWorld } from '../world.ts'

export class SnapshotWorld {
  readonly clock = new SystemClock()
  readonly random = new SystemRandom()
  readonly compression = new SystemCompression()
  readonly events = new Events()
  readonly log = new PartitionWorld('snapshots')
  readonly writer = new LogWriter(this.log)
  readonly folder: string
  readonly server: EmbeddedServer
  readonly ports: EmbeddedConnection
  readonly #stores = new Map<string, RocksDbStores>()

  static async open(): Promise<SnapshotWorld> {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-snapshots-'))
    const parts = { clock: new SystemClock(), random: new SystemRandom() }
    return new SnapshotWorld(folder, await EmbeddedServer.open({ dataDir: join(folder, 'server'), ...parts }))
  }

  private constructor(folder: string, server: EmbeddedServer) {
    this.folder = folder
    this.server = server
    this.ports = server.connect(this.events)
    this.writer.claim('a')
  }

  /** The disk of a node. */
  async stores(node: string): Promise<RocksDbStores> {
    let stores = this.#stores.get(node)
    if (stores === undefined) {
      stores = await RocksDbStores.open({ dataDir: join(this.folder, node), maxStores: 2 })
      this.#stores.set(node, stores)
    }
    return stores
  }

  /** So many actors are written, about `bytes` each. */
  write(actors: number, bytes: number, salt = ''): void {
    const turns = Array.from({ length: actors }, (_, i) => ({
      key: `actor-${String(i).padStart(6, '0')}`,
      state: { salt, n: i, text: `${i} `.repeat(Math.ceil(bytes / 6)) },
      reply: i,
      session: `s${i % 3}`,
    }))
    for (let at = 0; at < turns.length; at += 500) this.writer.commit(turns.slice(at, at + 500))
  }

  replicaOptions() {
    return {
      clock: this.clock,
      observer: this.events,
      applyEveryMs: 3_600_000,
      cacheBytes: () => 4_000_000,
      onStoreFailure: () => {},
    }
  }

  /** The replica of a node, at the end of the log. */
  async replica(node: string): Promise<Replica> {
    const store = await (await this.stores(node)).open(p0)
    return this.caughtUp(await Replica.open(store, p0, g1, this.replicaOptions()))
  }

  async caughtUp(replica: Replica): Promise<Replica> {
    for (const bytes of this.log.world.changelog.recordsOf(p0).slice(replica.position.seq)) {
      const verdict = judge(replica.position, nextSeq(replica.position.seq), bytes)
      if (verdict.kind === 'broken') throw new Error(verdict.reason)
      if (verdict.kind === 'valid') await replica.replay(verdict.record, verdict.position)
      else {
        replica.noteVoid(verdict.position.seq)
        replica.advance(verdict.position)
      }
    }
    return replica
  }

  cutOptions(replica: Replica, changes: Partial<CutOptions> = {}): CutOptions {
    return {
      partition: p0,
      replica,
      objects: this.ports.objects,
      registry: this.ports.registry,
      compression: this.compression,
      clock: this.clock,
      random: this.random,
      observer: this.events,
      signal: new AbortController().signal,
      bytesPerSecond: Number.POSITIVE_INFINITY,
      ...changes,
    }
  }

  restoreOptions(stores: Stores, changes: Partial<RestoreOptions> = {}): RestoreOptions {
    return {
      partition: p0,
      generation: g1,
      objects: this.ports.objects,
      registry: this.ports.registry,
      compression: this.compression,
      clock: this.clock,
      observer: this.events,
      stores,
      ...changes,
    }
  }

  async objectNames(): Promise<string[]> {
    return (await this.ports.objects.list('')).map(({ name }) => name)
  }

  async close(): Promise<void> {
    for (const stores of this.#stores.values()) await stores.close()
    await this.server.close()
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** All rows of a store, as text that can be compared. */
export async function rowsOf(store: Store): Promise<string[]> {
  const rows: string[] = []
  for await (const [key, value] of store.range(allRows.gte, allRows.lt)) {
    rows.push(`${Buffer.from(key).toString('hex')} ${Buffer.from(value).toString('hex')}`)
  }
  return rows
}
