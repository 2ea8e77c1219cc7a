/**
 * What is asked of a partition beside its commands and queries, by subjects of their own: pages of changes, scans, and how far its owner has
 * committed. Who does not own it says so. None of these rejects.
 *
 * IQ1. Watchers are answered a bounded number at a time; one more is `OVERLOADED`, and asks again.
 * IQ2. So are standbys that ask how far the owner has come (standby-reads.ts); one more has no answer.
 */
import { gauge, Refusals, type Metric } from '../ports/metrics.ts'
import type { Observer } from '../ports/observer.ts'
import type { Transport } from '../ports/transport.ts'
import type { Generation, PartitionId } from '../protocol/ids.ts'
import { encodeCommitted } from '../protocol/position.ts'
import { encodeScanError } from '../protocol/scan.ts'
import type { Subjects } from '../protocol/subjects.ts'
import { encodePageError } from '../protocol/watch.ts'
import type { Owner } from './owner.ts'
import type { PartitionSettings } from './settings.ts'
import { sendPage } from './watch-pages.ts'

export interface InquiriesOptions {
  readonly partition: PartitionId
  readonly transport: Transport
  readonly observer: Observer
  readonly subjects: Subjects
  readonly settings: Pick<PartitionSettings, 'maxWatchRequests'>
  readonly generation: () => Generation
  /** Of the partition, where that is this node. */
  readonly owner: () => Owner | undefined
}

/** IQ2. Each standby has one on its way. */
const mostPositions = 64

const notOwned = 'this node does not own the partition, or not yet; ask again'
const pageNotOwned = encodePageError('RETRY', notOwned)
const scanNotOwned = encodeScanError('RETRY', notOwned)

export class Inquiries {
  readonly #options: InquiriesOptions
  readonly #refusals = new Refusals<'watch-requests'>('watch', ['watch-requests'])
  #watching = 0
  #positions = 0
  #ended = false

  constructor(options: InquiriesOptions) {
    this.#options = options
  }

  metrics(): readonly Metric[] {
    return [
      gauge('holdfast_watch_requests', this.#watching, this.#options.settings.maxWatchRequests),
      ...this.#refusals.metrics(),
    ]
  }

  /** Answers a watcher with one page. */
  async watch(request: Uint8Array, inbox: string): Promise<void> {
    const { partition, transport, settings, subjects, generation } = this.#options
    const owner = this.#options.owner()
    const subject = subjects.watch(partition)
    if (owner === undefined) return this.#send(inbox, pageNotOwned, subject)
    if (this.#watching >= settings.maxWatchRequests) {
      this.#refusals.count('watch-requests')
      const sentence = `this owner answers ${this.#watching} watchers already; ask again a little later`
      return this.#send(inbox, encodePageError('OVERLOADED', sentence), subject)
    }
    this.#watching++
    const page = { partition, generation: generation(), history: owner.history, states: owner, transport }
    await sendPage(page, request, inbox)
      .catch(() => this.#dropped(subject))
      .finally(() => this.#watching--)
  }

  async scan(request: Uint8Array, inbox: string): Promise<void> {
    const { partition, subjects, owner } = this.#options
    const reply = (await owner()?.scans.answer(request)) ?? scanNotOwned
    this.#send(inbox, reply, subjects.scan(partition))
  }

  /** Tells a standby how far this owner has committed. */
  async position(inbox: string): Promise<void> {
    if (this.#positions >= mostPositions) return
    const { partition, subjects, owner } = this.#options
    this.#positions++
    const committed = (await owner()?.committed()) ?? null
    this.#positions--
    this.#send(inbox, encodeCommitted(committed), subjects.position(partition))
  }

  /** Nothing is sent any more. */
  end(): void {
    this.#ended = true
  }

  #send(inbox: string, reply: Uint8Array, subject: string): void {
    if (this.#ended) return
    try {
      this.#options.transport.publish(inbox, reply)
    } catch {
      this.#dropped(subject)
    }
  }

  /** The subject of the inbox is one that the transport will not have. */
  #dropped(subject: string): void {
    this.#options.observer.emit({ type: 'message.dropped', subject, reason: 'reply-subject' })
  }
}
