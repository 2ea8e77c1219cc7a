/**
 * The RocksDB databases of one node, in one directory: `<dataDir>/p<n>` for each partition, `<dataDir>/set-aside` for what was taken out
 * of use, and `<dataDir>/discarded` for what is being deleted.
 *
 * B1. Who holds the directory's lock has all of it.
 * B2. A folder that holds data is never opened as a new database, whatever of it is missing (S4).
 * B3. Opening the directory changes no row: it takes the lock, and deletes what a process that died was deleting, unless `keepDiscarded`. The
 *     binding opens no database for reading alone, so that RocksDB may rearrange the files of a store that is only read.
 * B4. All stores of a node share one budget of memory, divided evenly: the binding offers no common cache.
 */
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Store, Stores } from '../../ports/store.ts'
import { HoldfastError, messageOf } from '../../protocol/errors.ts'
import type { PartitionId } from '../../protocol/ids.ts'
import { DirectoryLock } from './directory-lock.ts'
import { leastCache, leastMemtables, type DatabaseOptions } from './disk-protocol.ts'
import { storeFailure } from './failure.ts'
import { RocksDbStore } from './store.ts'

const setAside = 'set-aside'
const discarded = 'discarded'

export interface RocksDbStoresOptions {
  /** Created if it is not there. One node at a time. */
  readonly dataDir: string
  /** Bytes for the write buffers and block caches of all stores. Default 256 MiB. */
  readonly memoryBudget?: number
  /** Stores that share the budget: give the cluster's number of partitions. More can be opened, above the budget. Default 16. */
  readonly maxStores?: number
  /** For who only looks: what a process that died was deleting stays for the next node. Default false. */
  readonly keepDiscarded?: boolean
}

export class RocksDbStores implements Stores {
  readonly #dataDir: string
  readonly #lock: DirectoryLock
  readonly #share: DatabaseOptions
  /** Null while it is being opened. */
  readonly #open = new Map<PartitionId, RocksDbStore | null>()
  #closed = false

  /** Takes the directory. Throws `CONFLICT` while another node has it, `INVALID` where permission is missing. */
  static async open(options: RocksDbStoresOptions): Promise<RocksDbStores> {
    const { dataDir, memoryBudget = 268_435_456, maxStores = 16, keepDiscarded = false } = options
    const perStore = memoryBudget / maxStores
    const share: DatabaseOptions = {
      createIfMissing: true,
      compaction: 'universal',
      memtableMemoryBudget: Math.max(leastMemtables, Math.floor(perStore * 0.4)),
      cacheSize: Math.max(leastCache, Math.floor(perStore * 0.4)),
      walCompression: false,
    }
    const lock = await DirectoryLock.take(dataDir)
    // Of a process that died while it deleted them.
    const left = join(dataDir, discarded)
    const gone = keepDiscarded ? Promise.resolve() : rm(left, { recursive: true, force: true })
    await gone.catch(async (error: unknown) => {
      await lock.release()
      throw failureAt(left, error)
    })
    return new RocksDbStores(dataDir, lock, share)
  }

  private constructor(dataDir: string, lock: DirectoryLock, share: DatabaseOptions) {
    this.#dataDir = dataDir
    this.#lock = lock
    this.#share = share
  }

  async open(partition: PartitionId): Promise<Store> {
    this.#refuseOpen(partition)
    this.#open.set(partition, null)
    const path = this.#pathOf(partition)
    try {
      const options = { ...this.#share, createIfMissing: !(await holdsData(path)) }
      await this.#lock.disk.ask(path, { op: 'open', path, options })
      const store = await RocksDbStore.over(this.#lock.disk, path, () => this.#open.delete(partition))
      this.#open.set(partition, store)
      return store
    } catch (error) {
      this.#open.delete(partition)
      throw error
    }
  }

  async setAside(partition: PartitionId, reason: string): Promise<string | null> {
    this.#refuseOpen(partition)
    try {
      const path = await this.#moveAway(this.#pathOf(partition), setAside)
      // It is there without its reason, too, as where no space is left.
      if (path !== null) await writeFile(join(path, 'reason.txt'), `${reason}\n`).catch(() => {})
      return path
    } catch (cause) {
      const move = `move ${this.#pathOf(partition)} to ${join(this.#dataDir, setAside)}`
      throw new HoldfastError(
        'INTERNAL',
        `cannot ${move} (${messageOf(cause)}): move it away by hand, then restart the node`,
        { cause },
      )
    }
  }

  async discard(partition: PartitionId): Promise<void> {
    this.#refuseOpen(partition)
    await this.#delete(this.#pathOf(partition))
  }

  discardAside(path: string): Promise<void> {
    return this.#delete(path)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await Promise.all([...this.#open.values()].map(async (store) => store?.close()))
    await this.#lock.release()
  }

  #refuseOpen(partition: PartitionId): void {
    if (this.#closed) throw new HoldfastError('INTERNAL', `the stores of ${this.#dataDir} are closed: open them again`)
    if (this.#open.has(partition))
      throw new HoldfastError('CONFLICT', `the store ${this.#pathOf(partition)} is open in this node: close it first`)
  }

  /** By one step out of the way: half of a database would be a damaged one (S4). */
  async #delete(folder: string): Promise<void> {
    try {
      const path = await this.#moveAway(folder, discarded)
      if (path !== null) await rm(path, { recursive: true })
    } catch (cause) {
      throw new HoldfastError(
        'INTERNAL',
        `cannot delete ${folder} (${messageOf(cause)}): delete it by hand, then restart the node`,
        { cause },
      )
    }
  }

  /** Where it went, below a folder of that name; null where there is nothing. */
  async #moveAway(from: string, name: string): Promise<string | null> {
    if ((await namesIn(from)) === null) return null
    const folder = join(this.#dataDir, name)
    await mkdir(folder, { recursive: true })
    const path = await freeName(folder, basename(from))
    await rename(from, path)
    return path
  }

  #pathOf(partition: PartitionId): string {
    return join(this.#dataDir, `p${partition}`)
  }
}

/** A database begins with a manifest and a write-ahead log: where files of data are, there was one (B2). */
async function holdsData(path: string): Promise<boolean> {
  let names: readonly string[] | null
  try {
    names = await namesIn(path)
  } catch (error) {
    throw failureAt(path, error)
  }
  return names !== null && names.some((name) => name === 'CURRENT' || name.endsWith('.log') || name.endsWith('.sst'))
}

const failureAt = (path: string, error: unknown): HoldfastError =>
  storeFailure(path, (error as NodeJS.ErrnoException).code ?? '', messageOf(error))

/** Null: there is no such folder. */
async function namesIn(path: string): Promise<readonly string[] | null> {
  try {
    return await readdir(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

async function freeName(folder: string, former: string): Promise<string> {
  const taken = new Set(await readdir(folder))
  const stamp = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')
  let name = `${former}-${stamp}`
  for (let i = 2; taken.has(name); i++) name = `${former}-${stamp}-${i}`
  return join(folder, name)
}
