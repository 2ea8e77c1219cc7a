/**
 * The Objects port over a JetStream object store (B1–B6): `nats object ls` shows it, and any NATS client reads it.
 *
 * A put, in this order:
 * P1. The chunks, under a name that is made up: nobody knows of them yet. If one fails, none of them counts.
 * P2. The description, expecting what was there before: of several puts of a name one is stored, whole (B2, B3). If its answer is lost the
 *     chunks stay, since it may be there.
 * P3. Chunks without a description are purged, by the put that failed or, later, by `sweep`.
 *
 * P4. A deletion purges the description that it has read, then its chunks: what was put under that name since stays, and nothing is left
 *     that would grow with every name there ever was.
 * P5. A put that takes longer than ten minutes gives up before P2, and `sweep` spares chunks of the last hour by the server's clock: it never
 *     takes those that a description is about to name.
 */
import {
  byName,
  checkObject,
  checkObjectName,
  checkObjectPrefix,
  isObjectName,
  isDamaged,
  isObjectUnder,
  isTaken,
} from '../../core/objects.ts'
import type { Metric } from '../../ports/metrics.ts'
import type { ObjectEntry, Objects } from '../../ports/objects.ts'
import { HoldfastError, isHoldfastError } from '../../protocol/errors.ts'
import { subjectsOf } from '../../protocol/subjects.ts'
import { acknowledgementOf, isWrongExpectation, sentenceOf, type Acknowledgement } from './acknowledgement.ts'
import { JetStream, type Purge, type StoredMessage } from './jetstream.ts'
import type { Link } from './link.ts'
import { chunkBytesFor, readChunks, writeChunks } from './object-chunks.ts'
import {
  allChunks,
  allMetas,
  chunkSubject,
  decodeMeta,
  describedChunks,
  digestOf,
  encodeMeta,
  metaSubject,
  nameOfMeta,
  nuidOfChunks,
  type ObjectMeta,
} from './object-meta.ts'
import { provisionStream } from './provision.ts'
import { Requests } from './requests.ts'
import { checkReplicas, type LogSettings } from './settings.ts'
import { objectBucket, objectsConfig, objectStream } from './stream-settings.ts'

/** Descriptions asked for at once. */
const inFlight = 16
const longestPutMs = 600_000
/** P5 */
const sparedMs = 3_600_000

/** What the last message under an object's name says: `seq` is 0 where there is none. */
interface Present {
  readonly seq: number
  readonly meta: ObjectMeta | null
}

export class NatsObjects implements Objects {
  readonly #link: Link
  readonly #hold: { close(): Promise<void> }
  readonly #requests: Requests
  readonly #jetstream: JetStream
  readonly #bucket: string
  readonly #stream: string
  readonly #replicas: number

  constructor(link: Link, settings: LogSettings) {
    const { cluster } = subjectsOf(settings.cluster)
    this.#bucket = objectBucket(cluster)
    this.#stream = objectStream(cluster)
    this.#replicas = checkReplicas(settings.replicas)
    this.#link = link
    this.#hold = link.hold()
    this.#requests = new Requests(link, 'objects', link.settings.requestTimeoutMs)
    this.#jetstream = new JetStream(this.#requests)
  }

  /** Creates the bucket where there is none. Throws `INVALID` if the server's one would lose or limit what is put. */
  provision(): Promise<{ readonly created: boolean }> {
    return provisionStream(this.#jetstream, objectsConfig(this.#bucket, this.#replicas))
  }

  async put(name: string, given: Uint8Array): Promise<void> {
    checkObject(name, given)
    const bytes = given.slice()
    const digest = await digestOf(bytes)
    const before = await this.#present(name)
    if (before.meta !== null) return sameOrTaken(before.meta, digest)

    const { clock, random } = this.#link.parts
    const begunMs = clock.monotonic()
    const chunkBytes = chunkBytesFor(this.#link.maxPayload)
    const nuid = random.id()
    const timeoutMs = this.#link.settings.appendTimeoutMs
    let said: Acknowledgement
    try {
      const subject = chunkSubject(this.#bucket, nuid)
      const chunks = await writeChunks(bytes, {
        requests: this.#requests,
        stream: this.#stream,
        subject,
        chunkBytes,
        timeoutMs,
      })
      if (clock.monotonic() - begunMs > longestPutMs) {
        throw new HoldfastError('RETRY', `the object ${name} was not stored within ten minutes: put it again`)
      }
      const meta = encodeMeta(this.#bucket, { name, nuid, size: bytes.length, chunks, digest }, chunkBytes)
      said = await this.#describe(name, meta, before.seq, timeoutMs)
    } catch (error) {
      await this.#forget(nuid)
      throw error
    }
    // P2: it may be there.
    if (said.kind !== 'stored' && said.kind !== 'unclear') await this.#forget(nuid)
    switch (said.kind) {
      case 'stored':
        return
      case 'unclear':
        throw new HoldfastError('UNKNOWN', `nobody can say whether ${name} was stored (${said.reason}): put it again`)
      case 'missed':
        throw new HoldfastError('RETRY', `the object ${name} was not stored (${said.reason}): put it again`)
      case 'denied':
        throw new HoldfastError('INVALID', said.reason)
      case 'refused': {
        if (!isWrongExpectation(said.error)) {
          throw new HoldfastError('INVALID', `the object ${name} is not taken: ${sentenceOf(said.error)}`)
        }
        // Another put of this name came first.
        const { meta } = await this.#present(name)
        if (meta === null) throw new HoldfastError('RETRY', `${name} was deleted while it was put: put it again`)
        return sameOrTaken(meta, digest)
      }
    }
  }

  async get(name: string): Promise<Uint8Array | null> {
    checkObjectName(name)
    for (;;) {
      const { meta } = await this.#present(name)
      if (meta === null) return null
      try {
        const subject = chunkSubject(this.#bucket, meta.nuid)
        const bytes = await readChunks({
          link: this.#link,
          jetstream: this.#jetstream,
          stream: this.#stream,
          subject,
          meta,
        })
        if ((await digestOf(bytes)) === meta.digest) return bytes
        throw isDamaged(name, 'its checksum is another')
      } catch (error) {
        // Deleted, and perhaps put again, while it was read?
        if (!isHoldfastError(error, 'INTERNAL') || (await this.#present(name)).seq === meta.seq) throw error
      }
    }
  }

  async list(prefix: string): Promise<readonly ObjectEntry[]> {
    checkObjectPrefix(prefix)
    const names = (await this.#subjects(allMetas(this.#bucket))).map(nameOfMeta)
    // What others have put there under other names is no object of this port.
    const wanted = names.filter((name) => isObjectName(name) && isObjectUnder(prefix, name))
    const entries: ObjectEntry[] = []
    for await (const [name, description] of this.#descriptions(wanted)) {
      const meta = readable(name, description)
      // What cannot be read is there nevertheless, and can be deleted.
      if (meta !== null) entries.push({ name, bytes: meta?.size ?? 0 })
    }
    return entries.toSorted(byName)
  }

  async delete(name: string): Promise<void> {
    checkObjectName(name)
    const description = await this.#description(name)
    if (description === null) return
    await this.#purge({ filter: metaSubject(this.#bucket, name), seq: description.seq + 1 })
    const meta = readable(name, description)
    if (meta) await this.#forget(meta.nuid)
  }

  async sweep(): Promise<number> {
    // The chunks first: what is described by the time of the second list is no remains.
    const chunks = await this.#subjects(allChunks(this.#bucket))
    const names = (await this.#subjects(allMetas(this.#bucket))).map(nameOfMeta)
    // Each object has its chunks, so that remains show in the numbers, and no description has to be read. Behind an object without bytes, which
    // no snapshot has, one may stay unseen until there are more.
    if (chunks.length <= names.length) return 0
    const known = new Set<string>()
    for await (const [, description] of this.#descriptions(names)) {
      const nuid = describedChunks(description)
      // Any of the chunks may be its own.
      if (nuid === undefined) return 0
      if (nuid !== null) known.add(nuid)
    }
    let swept = 0
    for (const subject of chunks) {
      if (known.has(nuidOfChunks(subject)) || !(await this.#isOld(subject))) continue
      await this.#purge({ filter: subject })
      swept++
    }
    return swept
  }

  metrics(): readonly Metric[] {
    return this.#requests.metrics()
  }

  async close(): Promise<void> {
    this.#requests.close()
    await this.#hold.close()
  }

  /** P2 */
  async #describe(name: string, meta: Uint8Array, expected: number, timeoutMs: number): Promise<Acknowledgement> {
    const headers = { 'Nats-Rollup': 'sub', 'Nats-Expected-Last-Subject-Sequence': String(expected) }
    const answer = await this.#requests.ask({ subject: metaSubject(this.#bucket, name), headers, timeoutMs }, meta)
    return acknowledgementOf(answer, this.#stream)
  }

  async #present(name: string): Promise<Present> {
    const description = await this.#description(name)
    return description === null ? { seq: 0, meta: null } : { seq: description.seq, meta: decodeMeta(name, description) }
  }

  #description(name: string): Promise<StoredMessage | null> {
    const question = { last_by_subj: metaSubject(this.#bucket, name) }
    return this.#provisioned(() => this.#jetstream.message(this.#stream, question))
  }

  async *#descriptions(names: readonly string[]): AsyncGenerator<readonly [name: string, StoredMessage]> {
    for (let i = 0; i < names.length; i += inFlight) {
      const some = names.slice(i, i + inFlight)
      const found = await Promise.all(some.map((name) => this.#description(name)))
      for (const [n, description] of found.entries()) if (description !== null) yield [some[n]!, description]
    }
  }

  #subjects(filter: string): Promise<readonly string[]> {
    return this.#provisioned(() => this.#jetstream.subjects(this.#stream, filter))
  }

  async #purge(which: Purge): Promise<void> {
    await this.#provisioned(() => this.#jetstream.purge(this.#stream, which))
  }

  /** P3. What stays is swept. */
  async #forget(nuid: string): Promise<void> {
    await this.#purge({ filter: chunkSubject(this.#bucket, nuid) }).catch(() => {})
  }

  /** P5 */
  async #isOld(subject: string): Promise<boolean> {
    const last = await this.#jetstream.message(this.#stream, { last_by_subj: subject })
    const info = await this.#jetstream.streamInfo(this.#stream)
    return last !== null && info !== null && info.saidAt - last.storedAt > sparedMs
  }

  async #provisioned<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask()
    } catch (error) {
      if (!isHoldfastError(error, 'NOT_FOUND')) throw error
      throw new HoldfastError(
        'RETRY',
        `there is no object store on this NATS server (stream ${this.#stream}): provision the cluster first`,
        { cause: error },
      )
    }
  }
}

function sameOrTaken(meta: ObjectMeta, digest: string): void {
  if (meta.digest !== digest) throw isTaken(meta.name)
}

/** Null: it was deleted; undefined: it cannot be read. */
function readable(name: string, description: StoredMessage): ObjectMeta | null | undefined {
  try {
    return decodeMeta(name, description)
  } catch {
    return undefined
  }
}
