/**
 * Owners of partitions that answer watchers from a log, and publish as a test tells them: for tests of watching.
 */
import type { MemoryProcess } from '../../src/adapters/memory/world.ts'
import type { Message } from '../../src/ports/transport.ts'
import { formatCursor, parseCursor } from '../../src/protocol/cursor.ts'
import { generation, partitionId, seq } from '../../src/protocol/ids.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { headerNames, nameHeaders } from '../../src/protocol/subjects.ts'
import { decodeWatchRequest, encodePageEnd, encodePageError, type WatchRequest } from '../../src/protocol/watch.ts'
import { subjects } from './fake-cluster.ts'

export interface Logged {
  readonly type: string
  readonly key: string
  readonly rev: number
  readonly state: unknown
  readonly seq: number
  readonly index: number
}

export interface Committed {
  readonly type?: string
  readonly key: string
  readonly state: unknown
}

/** A state that messages leave out. */
export const tooLarge = 'too large'

/** The logs of all partitions: what outlives owners. */
export class FakeLog {
  readonly partitions: number
  readonly #logs: Logged[][]
  readonly #revs = new Map<string, number>()
  readonly #seqs: number[]

  constructor(partitions: number) {
    this.partitions = partitions
    this.#logs = Array.from({ length: partitions }, () => [])
    this.#seqs = Array.from({ length: partitions }, () => 1)
  }

  /** Commits one record for each partition with these changes; gives what was committed. */
  commit(...changes: readonly Committed[]): Logged[] {
    const indexes = new Map<number, number>()
    return changes.map(({ type = 'cart', key, state }) => {
      const partition = partitionOf(key, this.partitions)
      const index = indexes.get(partition) ?? 0
      if (index === 0) this.#seqs[partition]!++
      indexes.set(partition, index + 1)
      const rev = (this.#revs.get(`${type}/${key}`) ?? 0) + 1
      this.#revs.set(`${type}/${key}`, rev)
      const logged = { type, key, rev, state, seq: this.#seqs[partition]!, index }
      this.#logs[partition]!.push(logged)
      return logged
    })
  }

  changes(partition: number): readonly Logged[] {
    return this.#logs[partition]!
  }

  head(partition: number): { readonly seq: number; readonly index: number } {
    return { seq: this.#seqs[partition]!, index: 2 ** 31 - 1 }
  }
}

export class FakeWatchOwner {
  readonly process: MemoryProcess
  readonly requests: WatchRequest[] = []
  /** Told at each request; anything but `undefined` is done instead of the truth. */
  mood: (
    request: WatchRequest,
    partition: number,
  ) => 'silence' | 'not the owner' | 'lose one' | 'cut' | 'late' | 'denied' | undefined = () => undefined
  limit = 1_000
  /** Called when a page is cut and before it is sent. */
  beforeSending: () => void = () => {}
  /** Sends the changes of the page that was to be late. */
  sendLate: () => void = () => {}
  readonly #log: FakeLog
  readonly #subscriptions: { close(): void }[]

  constructor(
    process: MemoryProcess,
    log: FakeLog,
    owns: readonly number[] = Array.from({ length: log.partitions }, (_, p) => p),
  ) {
    this.process = process
    this.#log = log
    this.#subscriptions = owns.map((p) =>
      process.transport.subscribe(subjects.watch(partitionId(p)), (message) => this.#onRequest(message, p), {
        queue: 'owner',
      }),
    )
  }

  leave(): void {
    for (const subscription of this.#subscriptions) subscription.close()
  }

  /** The live message. */
  publish(...changes: readonly Logged[]): void {
    for (const change of changes) {
      const headers = {
        [headerNames.rev]: String(change.rev),
        [headerNames.cursor]: this.#cursor(change),
        ...nameHeaders(change.type, change.key),
      }
      this.process.transport.publish(subjects.changes(change.type, change.key), this.#message(change), { headers })
    }
  }

  #onRequest(message: Message, partition: number): void {
    const request = decodeWatchRequest(message.data)
    this.requests.push(request)
    const mood = this.mood(request, partition)
    const { transport } = this.process
    const inbox = message.reply!
    if (mood === 'silence') return
    if (mood === 'not the owner') return transport.publish(inbox, encodePageError('RETRY', 'not the owner'))
    if (mood === 'denied') return transport.publish(inbox, encodePageError('CONFLICT', 'another generation'))
    const head = this.#log.head(partition)
    const from =
      request.from === 'start' ? { seq: 0, index: 0 } : request.from === 'now' ? head : parseCursor(request.from)
    const all = this.#log
      .changes(partition)
      .filter((c) => c.seq > from.seq || (c.seq === from.seq && c.index > from.index))
      .filter((c) => c.type === request.type && (request.key === undefined || c.key === request.key))
      .filter((c) => c.key.startsWith(request.prefix ?? ''))
    const page = all.slice(0, Math.min(this.limit, request.limit ?? this.limit))
    const more = page.length < all.length
    const text = (at: { seq: number; index: number }) => this.#text(partition, at)
    this.beforeSending()
    if (mood === 'late') {
      this.sendLate = () => this.#send(page, inbox)
      return
    }
    page.forEach((change, i) => {
      if (mood === 'cut' && i >= page.length / 2) return
      if (mood === 'lose one' && i === Math.floor(page.length / 2)) return
      transport.publish(inbox, this.#message(change))
    })
    if (mood === 'cut') return
    const next = text(more ? page.at(-1)! : head)
    transport.publish(inbox, encodePageEnd({ next, head: text(head), more, count: page.length }))
  }

  #send(page: readonly Logged[], inbox: string): void {
    for (const change of page) this.process.transport.publish(inbox, this.#message(change))
  }

  #message(change: Logged): Uint8Array {
    const { type, key, rev, state } = change
    const body = state === tooLarge ? { omitted: true } : { state }
    return Buffer.from(
      JSON.stringify({ type, key, rev, ...body, cursor: this.#cursor(change), at: change.seq * 1_000 }),
    )
  }

  #cursor(change: Logged): string {
    return this.#text(partitionOf(change.key, this.#log.partitions), change)
  }

  #text(partition: number, at: { readonly seq: number; readonly index: number }): string {
    return formatCursor({
      partition: partitionId(partition),
      generation: generation('gen1'),
      seq: seq(at.seq),
      index: at.index,
    })
  }
}
