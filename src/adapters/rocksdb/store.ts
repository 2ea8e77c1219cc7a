/** One partition's RocksDB database (S1, S2, S4, S5 of the Store port), driven through the disk thread. */
import { maxViews, type Store, type StoreView, type ViewRange } from '../../ports/store.ts'
import type { RowBatch } from '../../core/row-batch.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import type { Disk } from './disk.ts'
import { pack, unpack } from './disk-protocol.ts'
import { storeFailure } from './failure.ts'
import { endOfOwnKeys, firstOwnKey, Marks } from './marks.ts'
import { RocksDbView } from './view.ts'

/** Numbers the ranges of this process. */
let ranges = 0

export class RocksDbStore implements Store {
  readonly #disk: Disk
  readonly #path: string
  readonly #onClosed: () => void
  #marks: Marks | null = null
  #closing: Promise<void> | null = null
  #views = 0

  /** The database at `path` is open already. Throws `INTERNAL`, and closes it, where a part of it is missing. */
  static async over(disk: Disk, path: string, onClosed: () => void): Promise<RocksDbStore> {
    const store = new RocksDbStore(disk, path, onClosed)
    try {
      const rows: (readonly [Uint8Array, Uint8Array])[] = []
      for await (const row of store.#rows(firstOwnKey, endOfOwnKeys)) rows.push(row)
      store.#marks = Marks.read(rows)
      if (store.#marks === null) throw storeFailure(path, '', 'a part of it is missing')
      return store
    } catch (error) {
      await store.close()
      throw error
    }
  }

  private constructor(disk: Disk, path: string, onClosed: () => void) {
    this.#disk = disk
    this.#path = path
    this.#onClosed = onClosed
  }

  async getMany(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | undefined)[]> {
    const path = this.#path
    const packed = pack(keys)
    const { rows } = await this.#disk.ask(path, { op: 'read', path, keys: packed }, [packed.bytes])
    return unpack(rows!)
  }

  /** In the operating system's hands when it resolves (the log is what makes it durable), in the order of the calls. */
  async write(batch: RowBatch): Promise<void> {
    const path = this.#path
    this.#marks!.addTo(batch)
    const packed = batch.take()
    await this.#disk.ask(path, { op: 'write', path, batch: packed }, [packed.bytes])
  }

  range(gte: Uint8Array, lt: Uint8Array): AsyncGenerator<readonly [Uint8Array, Uint8Array]> {
    return this.#rows(gte, Buffer.compare(lt, firstOwnKey) > 0 ? firstOwnKey : lt)
  }

  async view(range: ViewRange): Promise<StoreView> {
    if (this.#views >= maxViews) {
      const message = `the store ${this.#path} has ${maxViews} views open: close some, or try again a little later`
      throw new HoldfastError('OVERLOADED', message)
    }
    this.#views++
    try {
      const [disk, path] = [this.#disk, this.#path]
      return await RocksDbView.open({ disk, path, id: ++ranges, range, onClosed: () => this.#views-- })
    } catch (error) {
      this.#views--
      throw error
    }
  }

  close(): Promise<void> {
    const path = this.#path
    // RocksDB fails where it could not write, now or before, and lets go of the database all the same.
    this.#closing ??= this.#disk.ask(path, { op: 'close', path }).then(this.#onClosed, this.#onClosed)
    return this.#closing
  }

  async *#rows(gte: Uint8Array, lt: Uint8Array): AsyncGenerator<readonly [Uint8Array, Uint8Array]> {
    const path = this.#path
    if (Buffer.compare(gte, lt) >= 0) {
      // Also an empty range of a closed store has to fail.
      await this.getMany([])
      return
    }
    const range = ++ranges
    await this.#disk.ask(path, { op: 'begin', path, range, gte, lt })
    try {
      for (let finished = false; !finished;) {
        const reply = await this.#disk.ask(path, { op: 'next', range })
        finished = reply.finished
        const rows = unpack(reply.rows!)
        for (let i = 0; i < rows.length; i += 2) yield [rows[i]!, rows[i + 1]!]
      }
    } finally {
      await this.#disk.ask(path, { op: 'end', range })
    }
  }
}
