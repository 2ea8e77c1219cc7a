/**
 * A watch: the committed changes of one keyed actor, or of all of one type, in order, each once, from a cursor on (E1, E2).
 *
 * Two sources could tell of a change: the live message on `<cluster>.changes.…`, and a page pulled from the partition's owner. Live messages may
 * be lost, repeated by a new owner, or late, and one who watches a type cannot see a gap in them. So a live message is only the doorbell, and
 * the page is the truth. With the invariants of page-puller.ts (G1–G6):
 *
 * W1. What is delivered comes from whole pages alone, and each page starts where the one before ended (G2, G3). A page holds exactly the
 *     matching changes between its two cursors, in the order of the log. So none is lost, none comes twice, and those of one partition,
 *     hence of one key, come in order. There is no order between partitions.
 * W2. Nothing depends on a live message having come: without one a partition is asked every 2 s (G5). A lost last message costs time only.
 * W3. A cursor that was handed out covers what was delivered up to it and nothing more: a partition's part of it moves when a change is
 *     delivered, and to the page's end when all of the page is.
 * W4. A watch `from: 'now'` begins at one position in each partition, and delivers nothing before it knows all of them, so that each of
 *     its cursors covers every partition.
 * W5. A slow consumer keeps at most one page for each partition, the one that it works on included: a partition is asked again when its page
 *     is delivered. Live messages are never kept.
 * W6. Owners that are away are asked again without end, over every connection and every owner that comes (G6).
 */
import { type Random } from '../ports/random.ts'
import type { Clock } from '../ports/clock.ts'
import type { Message, Subscription, Transport } from '../ports/transport.ts'
import { parseCursor } from '../protocol/cursor.ts'
import { HoldfastError } from '../protocol/errors.ts'
import { partitionId } from '../protocol/ids.ts'
import { partitionOf } from '../protocol/partitioning.ts'
import { headerNames, type Subjects } from '../protocol/subjects.ts'
import { fromJson } from '../protocol/values.ts'
import type { PageChange } from '../protocol/watch.ts'
import { PagePuller, type Page } from './page-puller.ts'
import { formatVector, parseVector } from './watch-cursor.ts'

export interface Change<State> {
  readonly type: string
  readonly key: string
  /** 1, 2, 3… for each key. */
  readonly rev: number
  /** After the change; `null`: destroyed. */
  readonly state: State | null
  /** A watch from here goes on right after this change. */
  readonly cursor: string
  /** Partition time, ms since 1970. */
  readonly at: number
  /** Present where the state was too large for a message: `state` is null and a query gives it. */
  readonly omitted?: true
}

export interface WatchOptions {
  /**
   * `'now'` (default): changes committed after the watch is ready. `'start'`: all that are kept. Or the `cursor` of a change or of a
   * watch of the same kind: those after it.
   */
  readonly from?: 'start' | 'now' | (string & {}) | undefined
  /** Ends the watch when it aborts. */
  readonly signal?: AbortSignal | undefined
}

/** Begins at once, and is iterated once. Ends with the iteration, `close`, its signal, or the client. */
export interface Watch<State> extends AsyncIterable<Change<State>> {
  /** After all that was delivered so far. */
  readonly cursor: string
  /** Resolves once every partition has answered: what commits from now on will be delivered. */
  ready(): Promise<void>
  /** Ends the watch and its iteration. Idempotent. */
  close(): void
}

export interface WatchPorts {
  readonly transport: Transport
  readonly clock: Clock
  readonly random: Random
  readonly subjects: Subjects
  /** Resolves to the count of partitions. */
  readonly partitions: () => Promise<number>
  readonly onClose: (watch: ChangeWatch<unknown>) => void
}

export class ChangeWatch<State> implements Watch<State> {
  readonly #ports: WatchPorts
  readonly #type: string
  readonly #key: string | undefined
  readonly #from: string
  readonly #signal: AbortSignal | undefined
  readonly #inbox: string
  /** By partition; for a single key there is one. */
  readonly #pullers = new Map<number, PagePuller>()
  /** Partitions that have not answered yet (W4). */
  readonly #unanswered = new Set<number>()
  /** What the cursor of now holds of each partition (W3); for a single key there is one. Empty until the count is known. */
  #positions: string[] = []
  /** To be delivered; nothing else of their partitions is on its way (W5). */
  #pages: Page[] = []
  #subscriptions: Subscription[] = []
  #state: 'starting' | 'running' | 'closed' = 'starting'
  #failure: HoldfastError | undefined = undefined
  #iterated = false
  #wake: (() => void) | undefined = undefined
  #onReady: { readonly resolve: () => void; readonly reject: (error: HoldfastError) => void }[] = []
  readonly #abort = () => this.close()

  /** Throws `INVALID` for a text that cannot be a cursor of this kind of watch. `key: undefined`: all of the type. */
  constructor(ports: WatchPorts, type: string, key: string | undefined, { from = 'now', signal }: WatchOptions) {
    this.#ports = ports
    this.#type = type
    this.#key = key
    this.#from = from
    this.#signal = signal
    if (from !== 'start' && from !== 'now') {
      if (key === undefined) parseVector(from)
      else parseCursor(from)
    }
    this.#inbox = ports.transport.inbox()
    if (signal?.aborted === true) this.close()
    signal?.addEventListener('abort', this.#abort, { once: true })
    ports.partitions().then(
      (count) => this.#start(count),
      (error: unknown) => this.#fail(error as HoldfastError),
    )
  }

  get cursor(): string {
    if (this.#positions.length === 0 || this.#positions.includes('now')) return this.#from
    return this.#key === undefined ? formatVector(this.#positions) : this.#positions[0]!
  }

  async ready(): Promise<void> {
    if (this.#state === 'closed') throw this.#failure ?? closedError()
    if (this.#state === 'running' && this.#unanswered.size === 0) return
    await new Promise<void>((resolve, reject) => this.#onReady.push({ resolve, reject }))
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Change<State>, void, undefined> {
    if (this.#iterated) throw new HoldfastError('INVALID', 'a watch is iterated once: begin another, from its cursor')
    this.#iterated = true
    try {
      for (;;) {
        const page = await this.#nextPage()
        if (page === undefined) return
        for (const change of page.changes) {
          if (this.#isClosed) break
          yield this.#deliver(page.partition, change)
        }
        this.#finish(page)
      }
    } finally {
      this.close()
    }
  }

  close(): void {
    if (this.#isClosed) return
    this.#state = 'closed'
    this.#signal?.removeEventListener('abort', this.#abort)
    for (const subscription of this.#subscriptions) subscription.close()
    for (const puller of this.#pullers.values()) puller.close()
    this.#pages = []
    for (const { reject } of this.#onReady.splice(0)) reject(this.#failure ?? closedError())
    this.#wake?.()
    this.#ports.onClose(this)
  }

  get #isClosed(): boolean {
    return this.#state === 'closed'
  }

  #fail(error: HoldfastError): void {
    if (this.#isClosed) return
    this.#failure = error
    this.close()
  }

  #start(count: number): void {
    if (this.#isClosed) return
    const { transport, clock, random, subjects } = this.#ports
    const [type, key, inbox] = [this.#type, this.#key, this.#inbox]
    const partitions = key === undefined ? Array.from({ length: count }, (_, p) => p) : [partitionOf(key, count)]
    const positions = this.#firstPositions(partitions)
    if (positions === undefined) {
      const message = `this cursor is of another ${key === undefined ? 'count of partitions' : 'partition'}: watch from 'start' or 'now'`
      return this.#fail(new HoldfastError('INVALID', message))
    }
    this.#positions = positions
    this.#state = 'running'
    partitions.forEach((p, at) => {
      const partition = partitionId(p)
      const puller = new PagePuller({
        ...{ transport, clock, random, partition, inbox, type, key },
        subject: subjects.watch(partition),
        from: positions[at]!,
        onPage: (page) => this.#onPage(page),
        onError: (error) => this.#fail(error),
      })
      this.#pullers.set(p, puller)
      this.#unanswered.add(p)
    })
    const live = key === undefined ? subjects.changesOf(type) : subjects.changes(type, key)
    this.#subscriptions = [
      transport.subscribe(`${inbox}.*`, (message) => this.#onPageMessage(message)),
      transport.subscribe(live, (message) => this.#onLive(message)),
      transport.onStatus((status) => {
        if (status === 'connected') for (const puller of this.#pullers.values()) puller.reconnected()
      }),
    ]
    for (const puller of this.#pullers.values()) puller.start()
  }

  #firstPositions(partitions: readonly number[]): string[] | undefined {
    const from = this.#from
    if (from === 'start' || from === 'now') return partitions.map(() => from)
    if (this.#key !== undefined) return parseCursor(from).partition === partitions[0] ? [from] : undefined
    const positions = parseVector(from)
    return positions.length === partitions.length ? [...positions] : undefined
  }

  #onPageMessage(message: Message): void {
    const [partition, pull] = message.subject.slice(this.#inbox.length + 1).split('-')
    this.#pullers.get(Number(partition))?.onMessage(Number(pull), message)
  }

  /** The doorbell. */
  #onLive(message: Message): void {
    const cursor = message.headers?.[headerNames.cursor] ?? ''
    this.#pullers.get(Number.parseInt(cursor, 10))?.ring(cursor)
  }

  #onPage(page: Page): void {
    if (page.changes.length > 0) this.#pages.push(page)
    else this.#finish(page)
    if (this.#unanswered.delete(page.partition) && this.#unanswered.size === 0) {
      for (const { resolve } of this.#onReady.splice(0)) resolve()
    }
    this.#wake?.()
  }

  /** All of a page is delivered (W3, W5). */
  #finish(page: Page): void {
    this.#positions[this.#slot(page.partition)] = page.next
    this.#pullers.get(page.partition)?.resume()
  }

  async #nextPage(): Promise<Page | undefined> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure
      if (this.#isClosed) return undefined
      const withheld = this.#from === 'now' && (this.#state === 'starting' || this.#unanswered.size > 0)
      const page = withheld ? undefined : this.#pages.shift()
      if (page !== undefined) return page
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  #deliver(partition: number, { type, key, rev, state, omitted, cursor, at }: PageChange): Change<State> {
    this.#positions[this.#slot(partition)] = cursor
    // The types of a definition are its user's word for what is in the log.
    const told = { type, key, rev, state: fromJson(state) as State | null, ...(omitted ? { omitted } : {}), at }
    if (this.#key !== undefined) return { ...told, cursor }
    const positions = this.#positions.slice()
    // Made when it is asked for: it is long, and most are not kept.
    return Object.defineProperty(told as Change<State>, 'cursor', {
      enumerable: true,
      get: () => formatVector(positions),
    })
  }

  #slot(partition: number): number {
    return this.#key === undefined ? partition : 0
  }
}

const closedError = () => new HoldfastError('INVALID', 'this watch is closed: begin another, from its cursor')
