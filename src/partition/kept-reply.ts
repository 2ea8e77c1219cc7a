/**
 * What an idempotency key stands for (R3): the first reply to a command, and what it was asked with.
 *
 * It is an entry of the partition's own, in the same commit as the change that it answers for, so it is durable, moves with the
 * partition, and expires by the log like any other entry.
 *
 * I1. Scope: one keyed actor and one command. The same key at another actor or command is another key.
 * I2. The same key with other arguments is `CONFLICT`: compared are the encoded bytes, so the order of an object's fields counts.
 * I3. Kept for 24 h of partition time from the return of the handler. Never forgotten early: with the quota full a new key is `OVERLOADED`.
 * I4. Only a reply is kept; a command that failed may be tried again with its key.
 */
import { createHash } from 'node:crypto'
import { sameBytes } from '../core/hashing.ts'
import { counter, gauge, type Metric } from '../ports/metrics.ts'
import { HoldfastError, messageOf } from '../protocol/errors.ts'
import type { WireError } from '../protocol/frames.ts'
import { ownBytes } from '../protocol/own-bytes.ts'
import { encodeToken } from '../protocol/subjects.ts'
import { readValue, writeValue } from '../protocol/value-bytes.ts'
import { keysFull } from './answers.ts'
import { actorId, keptType } from './names.ts'
import type { Outcome } from './outcome.ts'
import type { Replica } from './replica.ts'
import { unexpired, type Version } from './store-layout.ts'
import type { Turn } from './turn.ts'

/** Partition time, ms. */
export const keptForMs = 24 * 3_600_000

/** The key of the entry (I1). Each part but the last is a token, and so has no dot. */
export const keptKey = (type: string, key: string, command: string, idempotencyKey: string): string =>
  `${encodeToken(type)}.${command}.${encodeToken(idempotencyKey)}.${key}`

export const keptId = (key: string): string => actorId(keptType, key)

export interface KeptReply {
  /** Of the input's bytes. */
  readonly asked: Uint8Array
  readonly reply: Uint8Array
}

const digestBytes = 16

export const digestOf = (input: Uint8Array): Uint8Array =>
  new Uint8Array(createHash('sha256').update(input).digest().subarray(0, digestBytes))

/** The bytes are one's own. */
export const encodeKept = ({ asked, reply }: KeptReply): Uint8Array => ownBytes(writeValue([asked, reply]))

/** Throws `INTERNAL` for anything that `encodeKept` did not write. */
export function decodeKept(state: Uint8Array): KeptReply {
  const fields = readValue(state)
  if (Array.isArray(fields) && fields.length === 2) {
    const [asked, reply] = fields as unknown[]
    if (asked instanceof Uint8Array && reply instanceof Uint8Array) return { asked, reply }
  }
  throw new HoldfastError('INTERNAL', 'a reply kept by its idempotency key cannot be read')
}

export interface KeptRepliesOptions {
  readonly replica: Pick<Replica, 'keptKeys' | 'keptKeyBytes'>
  /** Idempotency keys kept at most. */
  readonly maxKeptKeys: number
  /** Bytes of their replies, at most. */
  readonly maxKeptKeyBytes: number
  /** Partition time. */
  readonly now: () => number
}

/** What is to become of a turn with an idempotency key. */
export type Verdict =
  | { readonly kind: 'new' }
  | { readonly kind: 'known'; readonly reply: Uint8Array }
  | { readonly kind: 'refused'; readonly error: WireError }

/** Judges turns by what is kept under their keys, and counts what is on its way to the log. */
export class KeptReplies {
  readonly #options: KeptRepliesOptions
  #keysInFlight = 0
  #bytesInFlight = 0
  #refused = 0

  constructor(options: KeptRepliesOptions) {
    this.#options = options
  }

  /** `kept`: what is there under the turn's key. */
  judge({ name, input }: Turn, kept: Version): Verdict {
    const { state } = unexpired(kept, this.#options.now)
    if (state === null) {
      if (this.#hasRoom()) return { kind: 'new' }
      this.#refused++
      return { kind: 'refused', error: keysFull }
    }
    let known: KeptReply
    try {
      known = decodeKept(state)
    } catch (error) {
      return { kind: 'refused', error: { code: 'INTERNAL', message: messageOf(error) } }
    }
    if (sameBytes(known.asked, digestOf(input))) return { kind: 'known', reply: known.reply }
    const message = `this idempotency key was used for ${name} with other arguments: take another key`
    return { kind: 'refused', error: { code: 'CONFLICT', message } }
  }

  /** What to keep of a turn that has run. It is on its way until `committed`. */
  keep({ input }: Turn, reply: Uint8Array): Outcome {
    this.#keysInFlight++
    this.#bytesInFlight += reply.length
    return { state: encodeKept({ asked: digestOf(input), reply }), expiresAt: this.#options.now() + keptForMs }
  }

  committed(reply: Uint8Array): void {
    this.#keysInFlight--
    this.#bytesInFlight -= reply.length
  }

  metrics(): readonly Metric[] {
    const { replica, maxKeptKeys, maxKeptKeyBytes } = this.#options
    return [
      gauge('holdfast_idempotency_keys', replica.keptKeys + this.#keysInFlight, maxKeptKeys),
      gauge('holdfast_idempotency_key_bytes', replica.keptKeyBytes + this.#bytesInFlight, maxKeptKeyBytes),
      counter('holdfast_overloaded_total', this.#refused, { where: 'partition', reason: 'idempotency-keys' }),
    ]
  }

  #hasRoom(): boolean {
    const { replica, maxKeptKeys, maxKeptKeyBytes } = this.#options
    return (
      replica.keptKeys + this.#keysInFlight < maxKeptKeys &&
      replica.keptKeyBytes + this.#bytesInFlight < maxKeptKeyBytes
    )
  }
}
