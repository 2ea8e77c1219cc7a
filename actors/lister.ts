/**
 * The lister actor: answers plain NATS clients with pages of a type's entries, in JSON, in the order of their keys, over all partitions.
 *
 *   open ──close──▶ closed
 *
 * L1. One request, one reply, as the gateway's: `{"ok":true,"value":{"entries":[…],"next":…}}`, or an error. `next` is the key to go on
 *     `after`, null where there is no more. It speaks only to subjects under the inbox prefixes.
 * L2. A page has at most `limit` entries, and ends before the one that would not fit into half a message. An entry that does not fit alone
 *     comes without its value, as `"omitted":true`.
 * L3. At most `maxListing` requests are worked on at a time; one more is `OVERLOADED`. After `close` nothing is sent.
 */
import { createActor, setup } from 'xstate'
import { ScanAsks } from '../src/client/scan-asks.ts'
import { Scanner, type RowsOptions } from '../src/client/scanner.ts'
import type { Clock } from '../src/ports/clock.ts'
import { gauge, labelled, Refusals, type Metric } from '../src/ports/metrics.ts'
import type { Observer } from '../src/ports/observer.ts'
import type { Random } from '../src/ports/random.ts'
import type { Message, Subscription, Transport } from '../src/ports/transport.ts'
import { HoldfastError } from '../src/protocol/errors.ts'
import { maxScanRows, type ScanRow } from '../src/protocol/scan.ts'
import { headerNames, maxNameBytes, resolveName, subjectsOf } from '../src/protocol/subjects.ts'
import { decodeValue, toJson, type Value } from '../src/protocol/values.ts'
import { failure, inputOf, optionsOf } from './gateway.ts'

export interface ListerOptions {
  readonly transport: Transport
  readonly clock: Clock
  readonly random: Random
  readonly observer: Observer
  readonly cluster: string
  readonly partitions: number
  /** Whether a subject may be answered; tells the observer of one that may not. */
  readonly accepts: (reply: string | undefined, subject: string) => reply is string
}

export interface Lister {
  metrics(): readonly Metric[]
  /** Ends at once. Idempotent. */
  close(): void
}

const queue = 'gateway'
const defaultLimit = 100
const defaultTimeoutMs = 10_000
const maxListing = 64
const overloadedForMs = 100

/** Opens at once. */
export function createLister(options: ListerOptions): Lister {
  const lists = new Lists(options)
  const machine = setup({
    types: {} as { events: { readonly type: 'close' } },
    actions: { listen: () => lists.listen(), end: () => lists.end() },
  }).createMachine({
    initial: 'open',
    states: { open: { entry: 'listen', on: { close: 'closed' } }, closed: { type: 'final', entry: 'end' } },
  })
  const actor = createActor(machine, { clock: options.clock })
  actor.start()
  return {
    metrics: () => lists.metrics(),
    close() {
      if (actor.getSnapshot().status === 'active') actor.send({ type: 'close' })
    },
  }
}

class Lists {
  readonly #options: ListerOptions
  readonly #asks: ScanAsks
  readonly #prefix: string
  #subscription: Subscription | undefined
  readonly #refusals = new Refusals<'lists'>('lister', ['lists'])
  #listing = 0
  #ended = false

  constructor(options: ListerOptions) {
    const subjects = subjectsOf(options.cluster)
    this.#options = options
    this.#asks = new ScanAsks({ ...options, subjects })
    this.#prefix = subjects.allLists.slice(0, -1)
  }

  metrics(): readonly Metric[] {
    return [
      gauge('holdfast_lists', this.#listing, maxListing),
      ...this.#refusals.metrics(),
      ...labelled({ of: 'lister' }, this.#asks.metrics()),
    ]
  }

  listen(): void {
    const onList = (message: Message) => void this.#onList(message)
    this.#subscription = this.#options.transport.subscribe(`${this.#prefix}*`, onList, { queue })
  }

  end(): void {
    this.#ended = true
    this.#subscription?.close()
    this.#asks.close()
  }

  /** Rejects never. */
  async #onList(message: Message): Promise<void> {
    const { transport, observer, accepts } = this.#options
    const { reply, subject } = message
    if (!accepts(reply, subject)) return
    let data: Uint8Array
    try {
      data = await this.#answer(message)
    } catch (error) {
      data = failure(error)
    }
    if (this.#ended) return
    try {
      transport.publish(reply, data)
    } catch {
      // A subject that passed the check above, and that the transport will not have.
      observer.emit({ type: 'message.dropped', subject, reason: 'reply-subject' })
    }
  }

  async #answer({ subject, headers, data }: Message): Promise<Uint8Array> {
    if (this.#listing >= maxListing) {
      this.#refusals.count('lists')
      const sentence = 'this node works on as many lists as it may: try again a little later'
      throw new HoldfastError('OVERLOADED', sentence, { retryAfterMs: overloadedForMs })
    }
    this.#listing++
    try {
      const type = resolveName(subject.slice(this.#prefix.length), headers?.[headerNames.type], 'type')
      const { clock, partitions } = this.#options
      const timeoutMs = optionsOf(headers)?.timeoutMs ?? defaultTimeoutMs
      const asks = this.#asks
      const scanner = new Scanner({ asks, clock, type, partitions: async () => partitions, ask: { timeoutMs } })
      return await this.#page(scanner, rangeOf(inputOf(data)))
    } finally {
      this.#listing--
    }
  }

  /** L2. */
  async #page(scanner: Scanner, options: RowsOptions & { readonly limit: number }): Promise<Uint8Array> {
    const mostBytes = Math.floor(this.#options.transport.maxPayload / 2)
    const entries: string[] = []
    let bytes = 0
    let next: string | null = null
    let last = ''
    // One more than wanted, to know whether there is more.
    for await (const row of scanner.rows({ ...options, limit: options.limit + 1 })) {
      const entry = entryOf(row, mostBytes)
      bytes += Buffer.byteLength(entry) + 1
      if (entries.length === options.limit || (entries.length > 0 && bytes > mostBytes)) {
        next = last
        break
      }
      entries.push(entry)
      last = row.key
    }
    return Buffer.from(`{"ok":true,"value":{"entries":[${entries.join(',')}],"next":${JSON.stringify(next)}}}`)
  }
}

function entryOf({ key, state, rev, expiresAt }: ScanRow, mostBytes: number): string {
  const entry = JSON.stringify({ key, value: toJson(decodeValue(state)), rev, expiresAt })
  return Buffer.byteLength(entry) <= mostBytes
    ? entry
    : JSON.stringify({ key, value: null, omitted: true, rev, expiresAt })
}

const names = ['from', 'to', 'prefix', 'after', 'reverse', 'limit']

function rangeOf(input: Value): RowsOptions & { readonly limit: number } {
  if (input === null) return { limit: defaultLimit }
  if (typeof input !== 'object' || Array.isArray(input) || input instanceof Uint8Array || input instanceof Date) {
    throw invalid('a list is asked for with an object, such as {"prefix":"a","limit":10}, or nothing')
  }
  const unknown = Object.keys(input).find((name) => !names.includes(name))
  if (unknown !== undefined) throw invalid(`a list knows no "${unknown.slice(0, 40)}": it has ${names.join(', ')}`)
  const { reverse = false, limit = defaultLimit } = input
  if (typeof reverse !== 'boolean') throw invalid('"reverse" is true or false')
  if (typeof limit !== 'number' || !Number.isSafeInteger(limit) || limit < 1 || limit > maxScanRows) {
    throw invalid(`"limit" is a whole number from 1 to ${maxScanRows}`)
  }
  const bound = (name: 'from' | 'to' | 'prefix' | 'after') => {
    const text = input[name]
    if (text === undefined || text === null) return undefined
    if (typeof text === 'string' && Buffer.byteLength(text) <= maxNameBytes) return text
    throw invalid(`"${name}" is a text of at most ${maxNameBytes} bytes`)
  }
  return { from: bound('from'), to: bound('to'), prefix: bound('prefix'), after: bound('after'), reverse, limit }
}

const invalid = (message: string) => new HoldfastError('INVALID', message)
