/**
 * A view of a database: one iterator on the disk thread, which sees what was there when it began (S2), and is moved before each page.
 *
 * Every page begins with a seek, so that pages can be asked for in any order, and again. An iterator that goes backwards can be moved to
 * a key or the one before it; hence it has no upper bound of its own, and a row at the key itself is passed over.
 */
import type { StoreView, ViewPage, ViewRange } from '../../ports/store.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import type { Disk } from './disk.ts'
import { pack, unpack } from './disk-protocol.ts'
import { firstOwnKey } from './marks.ts'

export interface RocksDbViewOptions {
  readonly disk: Disk
  readonly path: string
  /** Of the range at the disk thread. */
  readonly id: number
  readonly range: ViewRange
  readonly onClosed: () => void
}

/** No key is shorter, and none is empty. */
const leastKey = Uint8Array.of(0)

export class RocksDbView implements StoreView {
  readonly #disk: Disk
  readonly #path: string
  readonly #id: number
  readonly #gte: Uint8Array
  readonly #lt: Uint8Array
  readonly #reverse: boolean
  readonly #onClosed: () => void
  #closed = false

  /** The question is on its way to the disk when this returns: that is the moment of the view. */
  static async open(options: RocksDbViewOptions): Promise<RocksDbView> {
    const view = new RocksDbView(options)
    await view.#begin()
    return view
  }

  private constructor({ disk, path, id, range, onClosed }: RocksDbViewOptions) {
    const { gte, lt, reverse = false } = range
    this.#disk = disk
    this.#path = path
    this.#id = id
    this.#gte = gte.length === 0 ? leastKey : gte
    this.#lt = Buffer.compare(lt, firstOwnKey) > 0 ? firstOwnKey : lt
    this.#reverse = reverse
    this.#onClosed = onClosed
  }

  async rows(after: Uint8Array | null, limit: number): Promise<ViewPage> {
    if (this.#closed)
      throw new HoldfastError('INTERNAL', `this view of the store ${this.#path} is closed: open another`)
    const from = this.#reverse ? least(after ?? this.#lt, this.#lt) : following(after, this.#gte)
    if (Buffer.compare(from, this.#gte) < 0 || Buffer.compare(this.#reverse ? this.#gte : from, this.#lt) >= 0) {
      // Also an empty page of a closed store has to fail.
      await this.#ask({ op: 'read', path: this.#path, keys: pack([]) })
      return { rows: [], finished: true }
    }
    const reply = await this.#ask({ op: 'next', range: this.#id, seek: from, exclusive: this.#reverse, limit })
    const flat = unpack(reply.rows!)
    const rows: (readonly [Uint8Array, Uint8Array])[] = []
    for (let i = 0; i < flat.length; i += 2) rows.push([flat[i]!, flat[i + 1]!])
    return { rows, finished: reply.finished }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#onClosed()
    // If the thread has ended, so has the iterator.
    await this.#ask({ op: 'end', range: this.#id }).catch(() => {})
  }

  #begin() {
    const bounds = this.#reverse ? { gte: this.#gte, reverse: true } : { gte: this.#gte, lt: this.#lt }
    return this.#ask({ op: 'begin', path: this.#path, range: this.#id, ...bounds })
  }

  #ask(request: Parameters<Disk['ask']>[1]) {
    return this.#disk.ask(this.#path, request)
  }
}

const least = (a: Uint8Array, b: Uint8Array) => (Buffer.compare(a, b) <= 0 ? a : b)

/** The first key that may come after `after`, but none before `gte`. */
function following(after: Uint8Array | null, gte: Uint8Array): Uint8Array {
  if (after === null || Buffer.compare(after, gte) < 0) return gte
  const next = new Uint8Array(after.length + 1)
  next.set(after)
  return next
}
