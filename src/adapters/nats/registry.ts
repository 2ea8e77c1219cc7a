/**
 * The Registry port over a JetStream key-value bucket (G1–G3).
 *
 * G4. Every key's last message is its value; a revision is the message's sequence. A deletion is a message, too, so that the
 *     next creation expects it. It stays, and a list has it: nobody may remove messages of the registry.
 * G5. Reads are answered by the stream's leader; a list is read key by key and is no snapshot.
 * G6. A write is sent once. It throws `RETRY` only if nobody can have got it.
 */
import type { CasResult, Registry, RegistryChange, RegistryEntry } from '../../ports/registry.ts'
import type { Metric } from '../../ports/metrics.ts'
import type { Subscription } from '../../ports/transport.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import { subjectsOf } from '../../protocol/subjects.ts'
import { acknowledgementOf, isWrongExpectation, sentenceOf } from './acknowledgement.ts'
import { plainBytes } from './bytes.ts'
import { JetStream, type StoredMessage } from './jetstream.ts'
import type { Link } from './link.ts'
import { provisionStream } from './provision.ts'
import { RegistryWatch } from './registry-watch.ts'
import { Requests } from './requests.ts'
import { checkReplicas, type LogSettings } from './settings.ts'
import { registryBucket, registryConfig, registryStream } from './stream-settings.ts'

const expectedHeader = 'Nats-Expected-Last-Subject-Sequence'
/** Values asked for at once by a list. */
const inFlight = 16

export class NatsRegistry implements Registry {
  readonly #link: Link
  readonly #hold: { close(): Promise<void> }
  readonly #requests: Requests
  readonly #jetstream: JetStream
  readonly #bucket: string
  readonly #stream: string
  readonly #replicas: number
  readonly #watches = new Set<RegistryWatch>()
  #closed = false

  /** `name`: of its questions, among those of the process. */
  constructor(link: Link, settings: LogSettings, name = 'registry') {
    const { cluster } = subjectsOf(settings.cluster)
    this.#bucket = registryBucket(cluster)
    this.#stream = registryStream(cluster)
    this.#replicas = checkReplicas(settings.replicas)
    this.#link = link
    this.#hold = link.hold()
    this.#requests = new Requests(link, name, link.settings.requestTimeoutMs)
    this.#jetstream = new JetStream(this.#requests)
  }

  /** Creates the bucket where there is none. Throws `INVALID` if the server's one would lose or limit what is written. */
  provision(): Promise<{ readonly created: boolean }> {
    return provisionStream(this.#jetstream, registryConfig(this.#bucket, this.#replicas))
  }

  async get(key: string): Promise<RegistryEntry | null> {
    checkKey(key)
    const message = await this.#last(this.#subject(key))
    if (message === null) return null
    const { value, ...found } = this.#changeOf(message)
    return value === null ? null : { ...found, value }
  }

  async list(prefix: string): Promise<readonly RegistryChange[]> {
    if (prefix !== '') checkKey(prefix)
    const filter = this.#subject(prefix === '' ? '>' : `${prefix}.>`)
    const info = await this.#jetstream.streamInfo(this.#stream, filter)
    if (info === null) throw this.#missing()
    const subjects = prefix === '' ? info.subjects : [this.#subject(prefix), ...info.subjects]
    const entries: RegistryChange[] = []
    for (let i = 0; i < subjects.length; i += inFlight) {
      const found = await Promise.all(subjects.slice(i, i + inFlight).map((subject) => this.#last(subject)))
      for (const message of found) if (message !== null) entries.push(this.#changeOf(message))
    }
    return entries
  }

  async create(key: string, value: Uint8Array): Promise<CasResult> {
    checkKey(key)
    // Taken now: the second attempt comes later.
    const bytes = value.slice()
    const first = await this.#write(key, bytes, 0)
    if (first.kind === 'written') return first
    const last = await this.#last(this.#subject(key))
    // Deleted: there is no such key, and yet a message.
    return last !== null && isDeletion(last) ? this.#write(key, bytes, last.seq) : first
  }

  async update(key: string, value: Uint8Array, revision: number): Promise<CasResult> {
    checkKey(key)
    checkRevision(revision)
    return this.#write(key, value, revision)
  }

  async delete(key: string, revision?: number): Promise<CasResult> {
    checkKey(key)
    if (revision !== undefined) checkRevision(revision)
    return this.#write(key, new Uint8Array(), revision, true)
  }

  watch(prefix: string, listener: (change: RegistryChange) => void): Subscription {
    if (prefix !== '') checkKey(prefix)
    if (this.#closed) return { close() {} }
    const all = this.#subject('')
    const watch = new RegistryWatch({
      link: this.#link,
      jetstream: this.#jetstream,
      stream: this.#stream,
      filters: prefix === '' ? [`${all}>`] : [`${all}${prefix}`, `${all}${prefix}.>`],
      keyOf: (subject) => subject.slice(all.length),
      listener,
    })
    this.#watches.add(watch)
    return {
      close: () => {
        this.#watches.delete(watch)
        watch.close()
      },
    }
  }

  metrics(): readonly Metric[] {
    return this.#requests.metrics()
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const watch of this.#watches) watch.close()
    this.#watches.clear()
    this.#requests.close()
    await this.#hold.close()
  }

  async #write(key: string, value: Uint8Array, expected: number | undefined, deletion = false): Promise<CasResult> {
    if (value.length + 256 > this.#link.maxPayload) {
      throw new HoldfastError(
        'INVALID',
        `the value of ${key} has ${value.length} bytes, and the NATS server takes ${this.#link.maxPayload} with headers (max_payload): make it smaller`,
      )
    }
    const headers = {
      ...(expected === undefined ? {} : { [expectedHeader]: String(expected) }),
      ...(deletion ? { 'KV-Operation': 'DEL' } : {}),
    }
    const answer = await this.#requests.ask({ subject: this.#subject(key), headers }, value)
    const said = acknowledgementOf(answer, this.#stream)
    switch (said.kind) {
      case 'stored':
        return { kind: 'written', revision: said.seq }
      case 'refused':
        if (isWrongExpectation(said.error)) return { kind: 'conflict' }
        throw new HoldfastError(
          'INVALID',
          `the registry does not take ${key}: ${sentenceOf(said.error)}; raise its limits`,
        )
      case 'missed':
        throw new HoldfastError('RETRY', `${key} was not written to the registry (${said.reason}): try again`)
      case 'denied':
        throw new HoldfastError('INVALID', said.reason)
      case 'unclear':
        throw new HoldfastError(
          'UNKNOWN',
          `nobody can say whether ${key} was written to the registry (${said.reason}): read it`,
        )
    }
  }

  async #last(subject: string): Promise<StoredMessage | null> {
    try {
      return await this.#jetstream.message(this.#stream, { last_by_subj: subject })
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'NOT_FOUND') throw this.#missing()
      throw error
    }
  }

  #changeOf(message: StoredMessage): RegistryChange {
    const key = message.subject.slice(this.#subject('').length)
    return { key, value: isDeletion(message) ? null : plainBytes(message.data), revision: message.seq }
  }

  #missing(): HoldfastError {
    return new HoldfastError(
      'RETRY',
      `there is no registry on this NATS server (stream ${this.#stream}): provision the cluster first`,
    )
  }

  #subject(key: string): string {
    return `$KV.${this.#bucket}.${key}`
  }
}

const isDeletion = (message: StoredMessage) => deletionMark.test(message.headers)
const deletionMark = /^KV-Operation: (?:DEL|PURGE)\r?$/m

/** With the bucket's name it stays far below the longest subject. */
const maxKeyLength = 512

function checkKey(key: string): void {
  if (key.length <= maxKeyLength && /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/.test(key)) return
  throw new HoldfastError(
    'INVALID',
    `${JSON.stringify(key.slice(0, 80))} is not a key of the registry: write tokens of A-Z a-z 0-9 _ - joined by ".", at most ${maxKeyLength} in all`,
  )
}

function checkRevision(revision: number): void {
  if (Number.isSafeInteger(revision) && revision > 0) return
  throw new HoldfastError('INVALID', `${revision} is not a revision: use the one that a read or a write gave`)
}
