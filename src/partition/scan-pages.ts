/**
 * Answers scans (protocol/scan.ts): pages of a partition's keyed actors of one type, in the order of their keys.
 *
 * A page is read from a view of the store that was opened right behind a write of all that is committed, so that it shows just what the
 * log has up to its position (N3, M7).
 *
 * B1. A page leaves under the read lease, looked at after the reading, as the answer to a query does (O3).
 * B2. What has expired by partition time as it is when the page is made is left out, and so is what was deleted.
 * B3. Pages are bounded in rows and bytes, and in what they look at: one may be empty and have more (N2). A row that is larger than a page
 *     is one alone.
 * B4. A snapshot is a view that stays open, for `idleMs` after its last page, until it is closed, or the ownership ends. At most
 *     `maxSnapshots` are kept and `maxReading` requests answered at a time; one more is `OVERLOADED`.
 * B5. A snapshot that is closed is gone at once; its view is closed by whoever reads it last, so that no page finds it closed, which would
 *     look like a broken store. What is being read of it is `NOT_FOUND`.
 */
import type { LogPosition } from '../core/log.ts'
import type { Clock, Timer } from '../ports/clock.ts'
import { gauge, Refusals, type Metric } from '../ports/metrics.ts'
import type { StoreView, ViewRange } from '../ports/store.ts'
import { HoldfastError, isHoldfastError, messageOf } from '../protocol/errors.ts'
import type { Epoch } from '../protocol/ids.ts'
import {
  decodeScanRequest,
  encodeScanError,
  encodeScanPage,
  type KeyRange,
  type ScanPage,
  type ScanRequest,
  type ScanRow,
} from '../protocol/scan.ts'
import { actorId, isOwnType } from './names.ts'
import type { Replica } from './replica.ts'
import { actorKey, decodeVersion } from './store-layout.ts'

export interface ScanPagesOptions {
  readonly clock: Clock
  readonly replica: Pick<Replica, 'view'>
  /** Of this ownership: names of snapshots are never those of another. */
  readonly epoch: Epoch
  /** Bytes of states and keys in a page. */
  readonly maxPageBytes: number
  /** Partition time. */
  readonly now: () => number
  /** B1 */
  readonly certainly: (run: (certain: boolean) => void) => void
  /** The store cannot be read. */
  readonly onStoreFailure: (error: unknown) => void
}

/** Rows that a page looks at, at most, and bytes of states. */
const mostRows = 10_000
const mostLookedAtBytes = 8 * 1_024 * 1_024
/** Rows read at a time. */
const rowsInRead = 500
/** What a row takes in a message beside its key and state, about. */
const rowOverhead = 24

const idleMs = 30_000
export const maxSnapshots = 16
const maxReading = 32
type Bound = 'scans' | 'snapshots'

interface Snapshot {
  readonly view: StoreView
  readonly position: LogPosition
  readonly base: Uint8Array
  timer: Timer | undefined
  /** Pages that are being read (B5). */
  readers: number
}

/** What a page is read from. */
type Source = Pick<Snapshot, 'view' | 'position' | 'base'>

export class ScanPages {
  readonly #options: ScanPagesOptions
  readonly #snapshots = new Map<string, Snapshot>()
  #opening = 0
  #opened = 0
  #reading = 0
  readonly #refusals = new Refusals<Bound>('scan', ['scans', 'snapshots'])
  #ended = false

  constructor(options: ScanPagesOptions) {
    this.#options = options
  }

  metrics(): readonly Metric[] {
    return [
      gauge('holdfast_scans', this.#reading, maxReading),
      gauge('holdfast_snapshots', this.#snapshots.size + this.#opening, maxSnapshots),
      ...this.#refusals.metrics(),
    ]
  }

  /** The reply to a request. Rejects never: what goes wrong is in the reply. */
  async answer(data: Uint8Array): Promise<Uint8Array> {
    try {
      return await this.#answer(data)
    } catch (error) {
      const code = isHoldfastError(error) ? error.code : 'INTERNAL'
      if (code !== 'INTERNAL') return encodeScanError(code, messageOf(error))
      // A store that was closed with the ownership is not a broken one.
      if (!this.#ended) this.#options.onStoreFailure(error)
      return encodeScanError('RETRY', `this owner cannot read its store (${messageOf(error)}); ask again`)
    }
  }

  async #answer(data: Uint8Array): Promise<Uint8Array> {
    const request = decodeScanRequest(data)
    if (isOwnType(request.type)) throw new HoldfastError('INVALID', 'types that begin with a dot are not for scans')
    if (this.#ended) throw elsewhere()
    if (this.#reading >= maxReading) {
      this.#refusals.count('scans')
      throw new HoldfastError('OVERLOADED', `this owner answers ${maxReading} scans already; ask again a little later`)
    }
    this.#reading++
    try {
      const page = await this.#pageOf(request)
      const certain = await new Promise<boolean>((resolve) => this.#options.certainly(resolve))
      if (!certain) throw elsewhere()
      return encodeScanPage(page)
    } finally {
      this.#reading--
    }
  }

  /** Closes every snapshot. What is still being read is answered `RETRY`. */
  end(): void {
    this.#ended = true
    for (const name of this.#snapshots.keys()) void this.#drop(name)
  }

  async #pageOf(request: ScanRequest): Promise<Omit<ScanPage, 'kind'>> {
    const { kind, snapshot: name } = request
    if (kind === 'open') return this.#open(request)
    if (name === undefined) {
      if (kind === 'close') throw new HoldfastError('INVALID', 'a snapshot is closed by its name: send it')
      const source = await this.#view(request)
      try {
        return await this.#read(source, request, null)
      } finally {
        await source.view.close()
      }
    }
    const snapshot = this.#snapshots.get(name)
    if (snapshot === undefined) throw noSnapshot()
    if (kind === 'close') {
      await this.#drop(name)
      return emptyPage(snapshot.position, name)
    }
    snapshot.readers++
    this.#options.clock.clearTimeout(snapshot.timer)
    try {
      return await this.#read(snapshot, request, name)
    } finally {
      snapshot.readers--
      await this.#keep(name, snapshot)
    }
  }

  async #open(request: ScanRequest): Promise<Omit<ScanPage, 'kind'>> {
    if (this.#snapshots.size + this.#opening >= maxSnapshots) {
      this.#refusals.count('snapshots')
      throw new HoldfastError('OVERLOADED', `this owner keeps ${maxSnapshots} snapshots already: close some, or wait`)
    }
    this.#opening++
    try {
      const snapshot: Snapshot = { ...(await this.#view(request)), timer: undefined, readers: 0 }
      const name = `${this.#options.epoch}-${++this.#opened}`
      if (this.#ended) {
        await snapshot.view.close()
        throw elsewhere()
      }
      this.#snapshots.set(name, snapshot)
      await this.#keep(name, snapshot)
      return { ...emptyPage(snapshot.position, name), more: true }
    } finally {
      this.#opening--
    }
  }

  async #view(request: ScanRequest): Promise<Source> {
    const base = actorKey(actorId(request.type, ''))
    const range = { ...boundsOf(base, request), reverse: request.reverse }
    return { ...(await this.#options.replica.view(range)), base }
  }

  async #read(source: Source, request: ScanRequest, name: string | null): Promise<Omit<ScanPage, 'kind'>> {
    const { view, base, position } = source
    const { maxPageBytes } = this.#options
    const now = this.#options.now()
    const counting = request.kind === 'count'
    const rows: ScanRow[] = []
    let [count, bytes, looked, lookedAtBytes] = [0, 0, 0, 0]
    let after = request.after === undefined ? null : joined(base, request.after)
    const page = (more: boolean) => {
      const last = after === null ? null : keyOf(base, after)
      return { ...emptyPage(position, name), more, last, count, rows }
    }
    for (;;) {
      const wanted = counting ? rowsInRead : Math.min(rowsInRead, request.limit - count)
      const read = await view.rows(after, wanted)
      if (name !== null && !this.#snapshots.has(name)) throw this.#ended ? elsewhere() : noSnapshot()
      for (const [key, value] of read.rows) {
        const { rev, state, expiresAt } = decodeVersion(value)
        looked++
        lookedAtBytes += value.length
        if (state !== null && (expiresAt === null || expiresAt > now)) {
          const size = key.length - base.length + state.length + rowOverhead
          if (!counting) {
            // B3: it begins the next page.
            if (rows.length > 0 && bytes + size > maxPageBytes) return page(true)
            rows.push({ key: keyOf(base, key), rev, state, expiresAt })
          }
          count++
          bytes += size
        }
        after = key
      }
      if (read.finished) return page(false)
      // Nothing would come of reading on from the same key, again and again.
      if (read.rows.length === 0)
        throw new HoldfastError('INTERNAL', 'the store gave an empty page that is not the last')
      const full = counting ? false : count >= request.limit || bytes >= maxPageBytes
      if (full || looked >= mostRows || lookedAtBytes >= mostLookedAtBytes) return page(true)
    }
  }

  /** Nobody reads it now, or somebody else still does. */
  async #keep(name: string, snapshot: Snapshot): Promise<void> {
    if (snapshot.readers > 0) return
    if (!this.#snapshots.has(name)) return snapshot.view.close()
    const { clock } = this.#options
    clock.clearTimeout(snapshot.timer)
    snapshot.timer = clock.setTimeout(() => void this.#drop(name), idleMs)
  }

  /** B5 */
  async #drop(name: string): Promise<void> {
    const snapshot = this.#snapshots.get(name)
    if (snapshot === undefined) return
    this.#snapshots.delete(name)
    this.#options.clock.clearTimeout(snapshot.timer)
    if (snapshot.readers === 0) await snapshot.view.close()
  }
}

/** The last valid record: what a watch goes on from, since void ones change nothing. */
const emptyPage = ({ generation, validSeq }: LogPosition, snapshot: string | null): Omit<ScanPage, 'kind'> => ({
  generation,
  seq: validSeq,
  more: false,
  last: null,
  count: 0,
  snapshot,
  rows: [],
})

/** The rows of the store that a range of keys has, where `base` is what all keys of the type begin with. */
function boundsOf(base: Uint8Array, { from, to, prefix }: KeyRange): ViewRange {
  let gte = joined(base, from ?? '')
  let lt = to === undefined ? next(base) : joined(base, to)
  if (prefix !== undefined && prefix !== '') {
    const first = joined(base, prefix)
    if (Buffer.compare(first, gte) > 0) gte = first
    const end = next(first)
    if (Buffer.compare(end, lt) < 0) lt = end
  }
  return { gte, lt }
}

const joined = (base: Uint8Array, key: string): Uint8Array => Buffer.concat([base, Buffer.from(key)])

/** Behind all that begin so: no UTF-8 ends with the byte 0xff. */
function next(prefix: Uint8Array): Uint8Array {
  const end = Uint8Array.from(prefix)
  end[end.length - 1]!++
  return end
}

const keyOf = (base: Uint8Array, row: Uint8Array): string =>
  Buffer.from(row.buffer, row.byteOffset, row.length).toString('utf8', base.length)

const noSnapshot = () => new HoldfastError('NOT_FOUND', 'this owner has no such snapshot: take another')

const elsewhere = () =>
  new HoldfastError('RETRY', 'this node does not own the partition any more, or is not sure; ask again')
