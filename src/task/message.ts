/**
 * A message of a task's input, with the partition that it belongs to.
 *
 * E1. Each attempt has an envelope of its own, with a value and bytes of its own: what an attempt changes in them no other one sees.
 */
import type { Envelope, TaskDefinition, TaskFormat } from '../behaviour/task.ts'
import type { InputMessage } from '../ports/inputs.ts'
import { HoldfastError, messageOf } from '../protocol/errors.ts'
import type { PartitionId } from '../protocol/ids.ts'
import { partitionOf } from '../protocol/partitioning.ts'
import { parseJsonText } from '../protocol/json-text.ts'
import { checkName } from '../protocol/subjects.ts'
import { fromJson } from '../protocol/values.ts'

/** What a source knows of a message; a plain subject knows neither sequence nor time. */
export type Arrival = Omit<InputMessage, 'seq' | 'at'> & { readonly seq: number | null; readonly at: number | null }

export interface TaskMessage {
  readonly partition: PartitionId
  readonly seq: number | null
  /** Of its data. */
  readonly bytes: number
  /** For one attempt (E1). */
  readonly envelope: () => Envelope
  /** Why it has no key; it then belongs to the partition of its subject, whose instance fails at it. */
  readonly failure: Error | undefined
}

export function taskMessage(
  { name, key: keyOf, format }: Pick<TaskDefinition, 'name' | 'key' | 'format'>,
  arrival: Arrival,
  partitions: number,
): TaskMessage {
  const { subject, seq, data } = arrival
  const message = (key: string, read: ArrivedEnvelope, failure: Error | undefined): TaskMessage => {
    // The key's function has decoded the value, so the first attempt goes on with it.
    let first: ArrivedEnvelope | undefined = read
    const envelope = () => {
      const fresh = first ?? new ArrivedEnvelope(arrival, format)
      first = undefined
      fresh.key = key
      return fresh
    }
    return { partition: partitionOf(key, partitions), seq, bytes: data.length, envelope, failure }
  }
  const read = new ArrivedEnvelope(arrival, format)
  try {
    const key: unknown = keyOf === undefined ? subject : keyOf(read)
    if (typeof key !== 'string') throw new HoldfastError('INVALID', `its key is not a text but ${typeof key}`)
    checkName(key, 'key')
    return message(key, read, undefined)
  } catch (cause) {
    const failure = new HoldfastError(
      'INVALID',
      `the task "${name}" has no key for this message: ${messageOf(cause)}`,
      {
        cause,
      },
    )
    return message(subject, read, failure)
  }
}

class ArrivedEnvelope implements Envelope {
  key: string
  readonly #arrival: Arrival
  readonly #format: TaskFormat
  #data: Uint8Array | undefined
  #decoded: { readonly value: unknown } | undefined

  constructor(arrival: Arrival, format: TaskFormat) {
    this.#arrival = arrival
    this.#format = format
    this.key = arrival.subject
  }

  get subject(): string {
    return this.#arrival.subject
  }

  get data(): Uint8Array {
    return (this.#data ??= new Uint8Array(this.#arrival.data))
  }

  get headers(): Readonly<Record<string, string>> {
    return this.#arrival.headers
  }

  get seq(): number | null {
    return this.#arrival.seq
  }

  get at(): number | null {
    return this.#arrival.at
  }

  get value(): unknown {
    this.#decoded ??= { value: this.#format === 'bytes' ? this.data : decoded(this.#arrival.data, this.#format) }
    return this.#decoded.value
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function decoded(data: Uint8Array, format: 'json' | 'text'): unknown {
  try {
    if (format === 'text') return utf8.decode(data)
    return fromJson(parseJsonText(data))
  } catch (cause) {
    throw new HoldfastError(
      'INVALID',
      `this message is not ${format === 'text' ? 'UTF-8' : 'JSON'}: ${messageOf(cause)}`,
      {
        cause,
      },
    )
  }
}
