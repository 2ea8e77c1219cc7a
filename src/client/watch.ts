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
 * W5. A slow consumer keeps at most one page for each partition waiting, and the one that it works on; nothing is pulled for it meanwhile,
 *     and live messages are never kept (G4).
 * W6. Owners that are away are asked again without end, by every connection and every owner that comes (G6).
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
  readonly #inbox: string
  /** By partition; of a single key only one is there. */
  readonly #pullers = new Map<number, PagePuller>()
  /** What a cursor of now holds of each partition (W3); of a single key the only one is 0. */
  #positions: string[] = []
  /** Pulled and not yet begun to be delivered. */
  #pages: Page[] = []
  readonly #unanswered = new Set<number>()
  #subscriptions: Subscription[] = []
  #state: 'starting' | 'running' | 'closed' = 'starting'
  #failure: HoldfastError | undefined = undefined
  #iterated = false
  #wake: (() => void) | undefined = undefined
  #onReady: { readonly resolve: () => void; readonly reject: (error: HoldfastError) => void }[] = []
  readonly #signal: AbortSignal | undefined
  readonly #abort = () => this.close()

  /** Throws `INVALID` for a text that cannot be a cursor of this kind of watch. Without a key: all of the type. */
  constructor(ports: WatchPorts, type: string, key: string | undefined, options: WatchOptions = {}) {
    this.#ports = ports
    this.#type = type
    this.#key = key
    this.#from = options.from ?? 'now'
    this.#signal = options.signal
    if (this.#from !== 'start' && this.#from !== 'now') {
      if (key === undefined) this.#positions = [...parseVector(this.#from)]
      else this.#positions = [parseCursor(this.#from) && this.#from]
    }
    this.#inbox = ports.transport.inbox()
    if (this.#signal?.aborted === true) return this.#closeQuietly()
    this.#signal?.addEventListener('abort', this.#abort, { once: true })
    ports.partitions().then(
      (count) => this.#start(count),
      (error: unknown) => this.#fail(error as HoldfastError),
    )
  }

  get cursor(): string {
    if (this.#positions.length === 0) return this.#from
    return this.#key === undefined ? formatVector(this.#positions) : this.#positions[0]!
  }

  async ready(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#state === 'closed') throw closedError()
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
          yield this.#deliver(page, change)
          if (this.#ended) return
        }
        this.#positions[this.#slot(page)] = page.next
      }
    } finally {
      this.close()
    }
  }

  close(): void {
    if (this.#state === 'closed') return
    this.#closeQuietly()
    for (const { reject } of this.#onReady.splice(0)) reject(this.#failure ?? closedError())
    this.#wake?.()
  }

  #closeQuietly(): void {
    this.#state = 'closed'
    for (const subscription of this.#subscriptions) subscription.close()
    for (const puller of this.#pullers.values()) puller.close()
    this.#pages = []
    this.#signal?.removeEventListener('abort', this.#abort)
    this.#ports.onClose(this)
  }

  #fail(error: HoldfastError): void {
    if (this.#state === 'closed') return
    this.#failure = error
    this.close()
  }
}
