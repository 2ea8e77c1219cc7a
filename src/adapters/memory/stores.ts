/**
 * The disk of one node in memory, and the stores on it (S1–S5 of the Store port).
 *
 * A `MemoryDisk` outlives the processes that use it: `process()` gives the stores of one of them, `crash()` ends it.
 * D1. Batches of the last while are not safe yet: a crash may lose some of them, always the last ones, chance decides how many.
 * D2. What a store has answered to be closed is safe.
 * D3. One process at a time; a crashed one holds nothing.
 * D4. Answers of one process come in the order of its questions, each after `readMs` or `writeMs`: a slow disk delays, and never reorders.
 */
import type { RowBatch } from '../../core/row-batch.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Random } from '../../ports/random.ts'
import { maxViews, type Store, type Stores, type StoreView, type ViewPage, type ViewRange } from '../../ports/store.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import type { PartitionId } from '../../protocol/ids.ts'
import { SortedBytes, type FrozenBytes, type Undo } from './sorted-bytes.ts'

/** Last batches of a store that a crash may lose; older ones are safe. */
const unsafeBatches = 64

/** One partition's data on the disk. */
class Volume {
  readonly data = new SortedBytes()
  /** How to take back each batch that is not safe yet, oldest first. */
  readonly unsafe: Undo[] = []
  open = false
  damaged = false
  /** Grows with each crash: a store that was opened before it is of the dead. */
  life = 0

  loseTail(random: Random): void {
    const lost = Math.floor(random.next() * (this.unsafe.length + 1))
    for (let i = 0; i < lost; i++) this.data.undo(this.unsafe.pop()!)
    this.unsafe.length = 0
    this.open = false
    this.life++
  }
}

export interface MemoryProcessOptions {
  /** Of the node: what it asks of its disk is answered by it, in a tick of its own. */
  readonly clock: Clock
}

export class MemoryDisk {
  /** From a read, or from opening a store, to its answer, ms. Changed at any time (D4). Default 0: in the next tick. */
  readMs = 0
  /** From a write, or from closing a store, to its answer, ms. */
  writeMs = 0
  readonly #volumes = new Map<PartitionId, Volume>()
  readonly #setAside = new Map<string, Volume>()
  #asides = 0
  #holder: MemoryStores | null = null

  /** The stores for one process of the node. */
  process(options: MemoryProcessOptions): MemoryStores {
    return new MemoryStores(this, options.clock)
  }

  /** Ends a process, which may hold the disk (D1). */
  crash(process: MemoryStores, random: Random): void {
    if (this.#holder !== process) return
    this.#holder = null
    for (const volume of this.#volumes.values()) volume.loseTail(random)
  }

  /** From now on opening this partition's store throws `INTERNAL`, until it is set aside. */
  damage(partition: PartitionId): void {
    const volume = this.#volumes.get(partition)
    if (volume !== undefined) volume.damaged = true
  }

  /** Where stores that were set aside are. */
  get aside(): readonly string[] {
    return [...this.#setAside.keys()]
  }

  /** For `MemoryStores`. */
  open(by: MemoryStores, partition: PartitionId): Volume {
    this.#holder ??= by
    if (this.#holder !== by) throw new HoldfastError('CONFLICT', 'another process has this disk: stop it first')
    let volume = this.#volumes.get(partition)
    if (volume === undefined) {
      volume = new Volume()
      this.#volumes.set(partition, volume)
    }
    if (volume.open)
      throw new HoldfastError('CONFLICT', `the store of partition ${partition} is open already: close it first`)
    if (volume.damaged)
      throw new HoldfastError('INTERNAL', `the store memory:p${partition} is damaged: set it aside and rebuild it`)
    volume.open = true
    return volume
  }

  discard(partition: PartitionId): void {
    if (this.#volumes.get(partition)?.open === true) {
      throw new HoldfastError('CONFLICT', `the store of partition ${partition} is open: close it before it is deleted`)
    }
    this.#volumes.delete(partition)
  }

  setAside(partition: PartitionId): string | null {
    const volume = this.#volumes.get(partition)
    if (volume === undefined) return null
    if (volume.open)
      throw new HoldfastError(
        'CONFLICT',
        `the store of partition ${partition} is open: close it before it is set aside`,
      )
    const path = `memory:set-aside/p${partition}-${++this.#asides}`
    this.#setAside.set(path, volume)
    this.#volumes.delete(partition)
    return path
  }

  discardAside(path: string): void {
    this.#setAside.delete(path)
  }

  release(by: MemoryStores): void {
    if (this.#holder === by) this.#holder = null
  }
}

export class MemoryStores implements Stores {
  readonly #disk: MemoryDisk
  readonly #device: Device
  readonly #open = new Set<MemoryStore>()

  constructor(disk: MemoryDisk, clock: Clock) {
    this.#disk = disk
    this.#device = new Device(disk, clock)
  }

  async open(partition: PartitionId): Promise<Store> {
    await this.#device.read()
    const store = new MemoryStore(this.#disk.open(this, partition), this.#device, () => this.#open.delete(store))
    this.#open.add(store)
    return store
  }

  async setAside(partition: PartitionId, _reason: string): Promise<string | null> {
    await this.#device.write()
    return this.#disk.setAside(partition)
  }

  async discard(partition: PartitionId): Promise<void> {
    await this.#device.write()
    this.#disk.discard(partition)
  }

  async discardAside(path: string): Promise<void> {
    await this.#device.write()
    this.#disk.discardAside(path)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open].map((store) => store.close()))
    this.#disk.release(this)
  }
}

/** A process's way to its disk (D4). */
class Device {
  readonly #disk: MemoryDisk
  readonly #clock: Clock
  #lastAtMs = 0

  constructor(disk: MemoryDisk, clock: Clock) {
    this.#disk = disk
    this.#clock = clock
  }

  read(): Promise<void> {
    return this.#answer(this.#disk.readMs)
  }

  write(): Promise<void> {
    return this.#answer(this.#disk.writeMs)
  }

  #answer(afterMs: number): Promise<void> {
    const nowMs = this.#clock.monotonic()
    this.#lastAtMs = Math.max(this.#lastAtMs, nowMs + afterMs)
    const delayMs = this.#lastAtMs - nowMs
    return new Promise((resolve) => {
      if (delayMs === 0) this.#clock.defer(resolve)
      else this.#clock.setTimeout(resolve, delayMs)
    })
  }
}

class MemoryStore implements Store {
  /** Null once it is closed. */
  #volume: Volume | null
  readonly #device: Device
  readonly #closed: () => void
  readonly #life: number
  #views = 0

  constructor(volume: Volume, device: Device, closed: () => void) {
    this.#volume = volume
    this.#life = volume.life
    this.#device = device
    this.#closed = closed
  }

  async getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | undefined)[]> {
    const { data } = this.#opened()
    const values = keys.map((key) => data.get(key))
    await this.#device.read()
    return values
  }

  async write(batch: RowBatch): Promise<void> {
    const { data, unsafe, life } = this.#opened()
    if (life === this.#life) {
      unsafe.push(data.apply(batch.rows()))
      if (unsafe.length > unsafeBatches) unsafe.shift()
    }
    await this.#device.write()
  }

  async *range(gte: Uint8Array, lt: Uint8Array): AsyncGenerator<readonly [Uint8Array, Uint8Array]> {
    const rows = this.#opened().data.range(gte, lt)
    await this.#device.read()
    yield* rows
  }

  async view({ gte, lt, reverse = false }: ViewRange): Promise<StoreView> {
    const rows = this.#opened().data.freeze(gte, lt)
    if (this.#views >= maxViews)
      throw new HoldfastError('OVERLOADED', `this store has ${maxViews} views open: close some, or try again later`)
    this.#views++
    await this.#device.read()
    const isOpen = () => this.#volume !== null
    return new MemoryView({ rows, reverse, device: this.#device, isOpen, onClosed: () => this.#views-- })
  }

  async close(): Promise<void> {
    const volume = this.#volume
    if (volume === null) return
    this.#volume = null
    await this.#device.write()
    if (volume.life !== this.#life) return
    volume.unsafe.length = 0
    volume.open = false
    this.#closed()
  }

  #opened(): Volume {
    if (this.#volume === null) throw new HoldfastError('INTERNAL', 'this store is closed: open it again')
    return this.#volume
  }
}

interface MemoryViewOptions {
  readonly rows: FrozenBytes
  readonly reverse: boolean
  readonly device: Device
  /** Whether its store is. */
  readonly isOpen: () => boolean
  readonly onClosed: () => void
}

class MemoryView implements StoreView {
  readonly #options: MemoryViewOptions
  #closed = false

  constructor(options: MemoryViewOptions) {
    this.#options = options
  }

  async rows(after: Uint8Array | null, limit: number): Promise<ViewPage> {
    const { rows, reverse, device, isOpen } = this.#options
    if (this.#closed || !isOpen()) throw new HoldfastError('INTERNAL', 'this view or its store is closed: open another')
    const found = rows.page(after, limit + 1, reverse)
    await device.read()
    return { rows: found.slice(0, limit), finished: found.length <= limit }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#options.onClosed()
    await this.#options.device.read()
  }
}
