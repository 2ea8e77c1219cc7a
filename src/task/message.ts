/** A message of a task's input, with the partition that it belongs to. */
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
  readonly envelope: Envelope
  /** Why it has no key; it then belongs to the partition of its subject, whose instance fails at it. */
  readonly failure: Error | undefined
}

export function taskMessage(
  { name, key: keyOf, format }: Pick<TaskDefinition, 'name' | 'key' | 'format'>,
  arrival: Arrival,
  partitions: number,
): TaskMessage {
  const envelope = new ArrivedEnvelope(arrival, format)
  try {
    if (keyOf !== undefined) {
      const key: unknown = keyOf(envelope)
      if (typeof key !== 'string') throw new HoldfastError('INVALID', `its key is not a text but ${typeof key}`)
      envelope.key = key
    }
    checkName(envelope.key, 'key')
    return { partition: partitionOf(envelope.key, partitions), envelope, failure: undefined }
  } catch (cause) {
    const failure = new HoldfastError(
      'INVALID',
      `the task "${name}" has no key for this message: ${messageOf(cause)}`,
      {
        cause,
      },
    )
    return { partition: partitionOf(arrival.subject, partitions), envelope, failure }
  }
}

class ArrivedEnvelope implements Envelope {
  key: string
  readonly #arrival: Arrival
  readonly #format: TaskFormat
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
    return this.#arrival.data
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
    this.#decoded ??= { value: decoded(this.data, this.#format) }
    return this.#decoded.value
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function decoded(data: Uint8Array, format: TaskFormat): unknown {
  if (format === 'bytes') return data
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
