/**
 * A watch: the committed changes of one keyed actor, of all of one type, or of those whose keys begin alike, in order, each once, from a
 * cursor on (E1, E2).
 *
 * Two sources could tell of a change: the live message on `<cluster>.changes.…`, and a page pulled from the partition's owner. Live messages may
 * be lost, repeated by a new owner, or late, and one who watches a type cannot see a gap in them. So a live message is only the doorbell, and
 * the page is the truth. With the invariants of page-puller.ts (G1–G8):
 *
 * W1. What is delivered comes from whole pages alone, and each page starts where the one before ended (G2, G3). A page holds exactly the
 *     matching changes between its two cursors, in the order of the log. So none is lost, none comes twice, and those of one partition,
 *     hence of one key, come in order. There is no order between partitions.
 * W2. Nothing depends on a live message having come: without one a partition is asked every 2 s (G5). A lost last message costs time only.
 * W3. A cursor that was handed out covers what was delivered up to it and nothing more: a partition's part of it moves when a change is
 *     delivered, and to the page's end when all of the page is.
 * W4. A watch `from: 'now'` begins at one position in each partition, and delivers nothing before it knows all of them, so that each of
 *     its cursors covers every partition. Any other knows them from the beginning: it is ready without an answer of anybody, since what
 *     commits behind them is delivered.
 * W5. A slow consumer keeps at most one page for each partition, the one that it works on included, and `mostPages` in all: a partition is
 *     asked again when its page is delivered and a place is free (page-places.ts). Live messages are never kept.
 * W6. Owners that are away are asked again without end, over every connection and every owner that comes (G6). Where the server does not let
 *     this user ask, the watch ends with `INVALID`.
 * W7. Where a partition's log does not go back to the cursor any more, what is there of that partition is delivered instead, marked as a
 *     reset, and the changes right behind it (G7). Until the last of it is delivered the partition's part of a cursor stays where it was,
 *     so that who comes back with such a cursor gets the whole reset.
 * W8. Live messages are of no use to a consumer that does not keep up. After `mostUnheeded` of them that could only be passed over the watch
 *     cuts itself off from them, and says so; when its pages are delivered it listens again, says so, and asks every partition from where it
 *     is. Meanwhile pages go on as ever, so nothing is lost.
 */
import { type Random } from '../ports/random.ts'
import type { Clock } from '../ports/clock.ts'
import type { Observer } from '../ports/observer.ts'
import type { Message, Subscription, Transport } from '../ports/transport.ts'
import { parseCursor } from '../protocol/cursor.ts'
import { HoldfastError } from '../protocol/errors.ts'
import { partitionId } from '../protocol/ids.ts'
import { optionsOf } from '../protocol/options.ts'
import { partitionOf } from '../protocol/partitioning.ts'
import { checkName, headerNames, resolveName, type Subjects } from '../protocol/subjects.ts'
import { fromJson } from '../protocol/values.ts'
import { mostUnheeded, PagePlaces } from './page-places.ts'
import { PagePuller, type Page, type Selection } from './page-puller.ts'
import { formatVector, parseVector } from './watch-cursor.ts'

export interface Change<State> {
  readonly type: string
  readonly key: string
  /** 1, 2, 3… for each key. */
  readonly rev: number
  /** After the change; `null` where it was deleted, too. */
  readonly state: State | null
  /** It is not there any more; or, of a reset, not there. */
  readonly deleted?: true
  /** A watch from here goes on right after this change. */
  readonly cursor: string
  /** Partition time, ms since 1970; of a reset when it was read. */
  readonly at: number
  /** Not a change, but what is there now: the changes that led to it are not kept any more. `rev` 0: there never was any. */
  readonly reset?: true
  /** Present where the state was too large for a message: `state` is null and a query gives it. */
  readonly omitted?: true
}

/**
 * The changes of a part of what is watched are not kept any more as far back as the watch would go on. What is there of it now comes as
 * changes with `reset: true`, which is all that there is: what a copy has besides was deleted.
 */
export interface WatchReset {
  readonly type: string
  /** Whether a key is of that part: one partition's share of what is watched. */
  readonly covers: (key: string) => boolean
}

export interface WatchOptions {
  /**
   * `'now'` (default): changes committed after the watch is ready. `'start'`: all since the beginning of the log. Or the `cursor` of a change
   * or of a watch of the same kind: those after it.
   */
  readonly from?: 'start' | 'now' | (string & {}) | undefined
  /**
   * What happens where the log does not go back so far any more. `'reset'` (default): what is there now, marked as a reset, then the changes
   * after it. `'fail'`: the watch ends with an error, `EXPIRED`.
   */
  readonly onExpired?: 'reset' | 'fail' | undefined
  /**
   * Called, and awaited, before the first change of a reset is delivered: who keeps a copy drops what it covers. A reset that is interrupted
   * by a change of owners begins again.
   */
  readonly onReset?: ((reset: WatchReset) => void | Promise<void>) | undefined
  /** Called, and awaited, with the same object after the last change of a reset. */
  readonly onResetEnd?: ((reset: WatchReset) => void | Promise<void>) | undefined
  /** Ends the watch when it aborts. */
  readonly signal?: AbortSignal | undefined
}

export interface TypeWatchOptions extends WatchOptions {
  /** Only keys that begin so. Default: all. */
  readonly prefix?: string | undefined
}

/** Begins at once, and is iterated once. Ends with the iteration, `close`, its signal, or the client. */
export interface Watch<State> extends AsyncIterable<Change<State>> {
  /** After all that was delivered so far. */
  readonly cursor: string
  /**
   * Resolves once it is known where the watch begins in every partition: what commits from now on will be delivered. From `'now'` that takes
   * an answer of each of them; from `'start'` or a cursor, only that it is known how many there are.
   */
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
  readonly observer: Observer
  readonly onClose: (watch: ChangeWatch<unknown>) => void
}

/** How far a watch is behind its consumer. */
export interface WatchLoad {
  readonly pages: number
  readonly unheeded: number
  readonly cutOff: boolean
  readonly cuts: number
}

export class ChangeWatch<State> implements Watch<State> {
  readonly #ports: WatchPorts
  readonly #selection: Selection
  readonly #key: string | undefined
  readonly #from: string
  readonly #options: WatchOptions
  readonly #inbox: string
  /** By partition; for a single key there is one. */
  readonly #pullers = new Map<number, PagePuller>()
  /** Partitions that have not told yet where they are now (W4). */
  readonly #unanswered = new Set<number>()
  /** What the cursor of now holds of each partition (W3); for a single key there is one. Empty until the count is known. */
  #positions: string[] = []
  #count = 0
  /** By partition: those that have begun and not ended (W7). */
  readonly #resets = new Map<number, WatchReset>()
  /** To be delivered; nothing else of their partitions is on its way (W5). */
  #pages: Page[] = []
  readonly #places = new PagePlaces()
  #subscriptions: Subscription[] = []
  /** Of live messages; undefined while it is cut off (W8). */
  #live: Subscription | undefined
  /** Live messages that were passed over since a page was last delivered. */
  #unheeded = 0
  #cuts = 0
  #state: 'starting' | 'running' | 'closed' = 'starting'
  #failure: HoldfastError | undefined = undefined
  #iterated = false
  #wake: (() => void) | undefined = undefined
  #onReady: { readonly resolve: () => void; readonly reject: (error: HoldfastError) => void }[] = []
  readonly #abort = () => this.close()

  /** Throws `INVALID` for a text that cannot be a cursor of this kind of watch, and other bad options. `key: undefined`: of the type. */
  constructor(ports: WatchPorts, type: string, key: string | undefined, options: TypeWatchOptions) {
    check(options, key)
    const { from = 'now', prefix = '', signal } = options
    this.#ports = ports
    this.#selection = { type, ...(key === undefined ? {} : { key }), ...(prefix === '' ? {} : { prefix }) }
    this.#key = key
    this.#from = from
    this.#options = options
    if (from !== 'start' && from !== 'now') {
      if (key === undefined) parseVector(from)
      else parseCursor(from)
    }
    this.#inbox = ports.transport.inbox()
    if (signal?.aborted === true) this.close()
    else signal?.addEventListener('abort', this.#abort, { once: true })
    ports.partitions().then(
      (count) => this.#start(count),
      (error: unknown) => this.#fail(error as HoldfastError),
    )
  }

  /** Pages kept or on their way, live messages passed over, whether it is cut off, and how often it was (W5, W8). */
  get load(): WatchLoad {
    const cutOff = this.#state === 'running' && this.#live === undefined
    return { pages: this.#places.taken, unheeded: this.#unheeded, cutOff, cuts: this.#cuts }
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
        const { changes, partition, reset } = page
        if (reset?.first === true) await this.#options.onReset?.(this.#beginReset(partition))
        for (let at = 0; at < changes.length && !this.#isClosed; at++) yield this.#deliver(page, at)
        if (reset?.last === true && !this.#isClosed) await this.#options.onResetEnd?.(this.#endReset(partition))
        // What was not delivered is not covered (W3).
        if (this.#isClosed) return
        this.#finish(page)
        this.#unheeded = 0
        if (this.#live === undefined && this.#pages.length === 0) this.#resume()
      }
    } finally {
      this.close()
    }
  }

  /** The server did not let a question to this subject through (W6). */
  denied(subject: string, reason: string): void {
    for (const p of this.#pullers.keys()) {
      if (this.#ports.subjects.watch(partitionId(p)) === subject) this.#fail(new HoldfastError('INVALID', reason))
    }
  }

  close(): void {
    if (this.#isClosed) return
    this.#state = 'closed'
    this.#options.signal?.removeEventListener('abort', this.#abort)
    for (const subscription of this.#subscriptions) subscription.close()
    this.#live?.close()
    this.#live = undefined
    this.#places.close()
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
    const [key, inbox, selection] = [this.#key, this.#inbox, this.#selection]
    const partitions = key === undefined ? Array.from({ length: count }, (_, p) => p) : [partitionOf(key, count)]
    const positions = this.#firstPositions(partitions)
    if (positions === undefined) {
      const message = `this cursor is of another ${key === undefined ? 'count of partitions' : 'partition'}: watch from 'start' or 'now'`
      return this.#fail(new HoldfastError('INVALID', message))
    }
    this.#positions = positions
    this.#count = count
    this.#state = 'running'
    partitions.forEach((p, at) => {
      const partition = partitionId(p)
      const puller = new PagePuller({
        ...{ transport, clock, random, partition, inbox, selection },
        subject: subjects.watch(partition),
        from: positions[at]!,
        onExpired: this.#options.onExpired ?? 'reset',
        places: this.#places,
        onPage: (page) => this.#onPage(page),
        onError: (error) => this.#fail(error),
      })
      this.#pullers.set(p, puller)
      if (this.#from === 'now') this.#unanswered.add(p)
    })
    this.#listen()
    this.#subscriptions = [
      transport.subscribe(`${inbox}.*`, (message) => this.#onPageMessage(message)),
      transport.onStatus((status) => {
        if (status === 'connected') for (const puller of this.#pullers.values()) puller.reconnected()
      }),
    ]
    for (const puller of this.#pullers.values()) puller.start()
    this.#tellReady()
  }

  #tellReady(): void {
    if (this.#unanswered.size > 0) return
    for (const { resolve } of this.#onReady.splice(0)) resolve()
  }

  #listen(): void {
    const { transport, subjects } = this.#ports
    const { type, key } = this.#selection
    const live = key === undefined ? subjects.changesOf(type) : subjects.changes(type, key)
    this.#live = transport.subscribe(live, (message) => this.#onLive(message))
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
    if (!this.#mayMatch(message)) return
    const cursor = message.headers?.[headerNames.cursor] ?? ''
    const puller = this.#pullers.get(Number.parseInt(cursor, 10))
    if (puller?.ring(cursor) === false && ++this.#unheeded >= mostUnheeded) this.#cutOff()
  }

  /** W8 */
  #cutOff(): void {
    if (this.#live === undefined) return
    this.#live.close()
    this.#live = undefined
    this.#cuts++
    this.#tell('watch.cut-off')
  }

  #resume(): void {
    this.#listen()
    for (const puller of this.#pullers.values()) puller.missedRings()
    this.#tell('watch.resumed')
  }

  #tell(type: 'watch.cut-off' | 'watch.resumed'): void {
    const { type: of, key, prefix } = this.#selection
    this.#ports.observer.emit({ type, of, key: key ?? null, prefix: prefix ?? null, cursor: this.cursor })
  }

  #mayMatch({ subject, headers }: Message): boolean {
    const { prefix } = this.#selection
    if (prefix === undefined) return true
    try {
      const token = subject.slice(subject.lastIndexOf('.') + 1)
      return resolveName(token, headers?.[headerNames.key], 'key').startsWith(prefix)
    } catch {
      // Whose it is cannot be read: the page will tell.
      return true
    }
  }

  #onPage(page: Page): void {
    if (page.changes.length > 0 || page.reset !== undefined) this.#pages.push(page)
    else this.#finish(page)
    if (this.#unanswered.delete(page.partition)) this.#tellReady()
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
      const page = this.#unanswered.size > 0 ? undefined : this.#pages.shift()
      if (page !== undefined) return page
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  #beginReset(partition: number): WatchReset {
    const { type, key, prefix = '' } = this.#selection
    const count = this.#count
    const reset: WatchReset = {
      type,
      covers: (each) =>
        key === undefined ? each.startsWith(prefix) && partitionOf(each, count) === partition : each === key,
    }
    this.#resets.set(partition, reset)
    return reset
  }

  #endReset(partition: number): WatchReset {
    const reset = this.#resets.get(partition)!
    this.#resets.delete(partition)
    return reset
  }

  #deliver({ partition, changes, next, reset: part }: Page, index: number): Change<State> {
    const { type, key, rev, state, deleted, omitted, cursor, at } = changes[index]!
    const slot = this.#slot(partition)
    if (part === undefined) this.#positions[slot] = cursor
    else if (part.last && index === changes.length - 1) this.#positions[slot] = next
    const marks = {
      ...(deleted ? { deleted } : {}),
      ...(part === undefined ? {} : { reset: true as const }),
      ...(omitted ? { omitted } : {}),
    }
    // The types of a definition are its user's word for what is in the log.
    const told = { type, key, rev, state: fromJson(state) as State | null, ...marks, at }
    if (this.#key !== undefined) return { ...told, cursor: this.#positions[slot]! }
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

function check(options: TypeWatchOptions, key: string | undefined): void {
  const { from, prefix, onExpired, onReset, onResetEnd } = optionsOf(options, 'watch()')
  if (from !== undefined && typeof from !== 'string') throw invalid("`from` is 'start', 'now' or a cursor")
  if (onExpired !== undefined && onExpired !== 'reset' && onExpired !== 'fail') {
    throw invalid("`onExpired` is 'reset' or 'fail'")
  }
  for (const callback of [onReset, onResetEnd]) {
    if (callback !== undefined && typeof callback !== 'function') throw invalid('`onReset`, `onResetEnd` are functions')
  }
  if (prefix === undefined || prefix === '') return
  if (typeof prefix !== 'string') throw invalid('`prefix` is a text')
  if (key !== undefined) throw invalid('a watch has a `key` or a `prefix`, not both')
  checkName(prefix, 'key')
}

const invalid = (message: string) => new HoldfastError('INVALID', message)

const closedError = () => new HoldfastError('INVALID', 'this watch is closed: begin another, from its cursor')
