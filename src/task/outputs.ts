/**
 * What a task sends, as it goes into a record.
 *
 * O1. What could not be published, or not be written into a record, is refused where it is sent: later nobody could say so.
 * O2. Each output has an id of its own (`Nats-Msg-Id`), made of what it came from: cluster, task, input message and place among what that
 *     sends. It is the same however often the output is published, and that of no other output.
 */
import type { Output } from '../behaviour/task.ts'
import { expectedStream } from '../partition/output-publisher.ts'
import { HoldfastError } from '../protocol/errors.ts'
import type { OutputRecord } from '../protocol/record.ts'
import { decodeValue, encodeValue, toJson } from '../protocol/values.ts'

/** What follows the cluster's name in the subjects that it speaks itself (protocol/subjects.ts). */
const spoken: ReadonlySet<string> = new Set([
  ...['call', 'tell', 'query', 'watch', 'scan', 'list', 'changes', 'p', 'node', 'gossip', 'log', 'placement', 'status'],
])

const messageId = 'Nats-Msg-Id'

/** What a line of the protocol of NATS has room for (adapters/nats/message-check.ts). */
const maxSubjectBytes = 1_024

export interface OutputRules {
  readonly cluster: string
  /** Whether there are streams that could acknowledge anything. */
  readonly streams: boolean
  /** Bytes of a message, its headers included. */
  readonly maxPayload: number
}

/** Throws `INVALID` (O1). */
export function outputRecord(output: Output, id: string, { cluster, streams, maxPayload }: OutputRules): OutputRecord {
  if (typeof output !== 'object' || output === null) throw invalid('send { subject, value }')
  const { subject, value, headers = {}, stream } = output
  checkSubject(subject, cluster)
  if (
    stream !== undefined &&
    (typeof stream !== 'string' || !/^[^\s.*>/\\\p{Cc}\p{Surrogate}]{1,255}$/u.test(stream))
  ) {
    throw invalid('stream is a name of a stream, without spaces and . * > / \\')
  }
  if (stream !== undefined && !streams) {
    throw invalid('there are no streams here, as this node has no NATS server: leave out `stream`, or run it on NATS')
  }
  const given = Object.entries(headers)
  for (const [name, text] of given) checkHeader(name, text)
  const all = {
    ...Object.fromEntries(given),
    [messageId]: id,
    ...(stream === undefined ? {} : { [expectedStream]: stream }),
  }
  const data = value instanceof Uint8Array ? new Uint8Array(value) : jsonBytes(value)
  let bytes = data.length + blockBytes
  for (const [name, text] of Object.entries(all)) bytes += lineBytes + name.length + Buffer.byteLength(text)
  if (bytes > maxPayload) throw invalid(`this output has ${bytes} bytes, and a message has at most ${maxPayload}`)
  return { subject, data, headers: all }
}

const blockBytes = 'NATS/1.0\r\n\r\n'.length
const lineBytes = ': \r\n'.length

function checkSubject(subject: unknown, cluster: string): void {
  const well =
    typeof subject === 'string' &&
    mostBytes(subject) <= maxSubjectBytes &&
    /^(?:[^.*>\s\p{Cc}\p{Surrogate}]+\.)*[^.*>\s\p{Cc}\p{Surrogate}]+$/u.test(subject)
  if (!well) {
    throw invalid(
      `the subject of an output is tokens joined by ".", well-formed, without spaces and wildcards, at most ${maxSubjectBytes} bytes`,
    )
  }
  const [first, second = ''] = subject.split('.', 2)
  if (first === '$JS' || first === '$SYS' || (first === cluster && spoken.has(second))) {
    throw invalid(`subjects such as "${subject}" are the cluster's or the server's own: take another one`)
  }
}

/** As UTF-8, as whoever publishes it counts: three for all that is not ASCII. */
const mostBytes = (text: string): number => text.replaceAll(/[\u0080-\uffff]/g, '...').length

function checkHeader(name: string, text: unknown): void {
  const own = /^nats-(msg-id|expected-)/i.test(name)
  // Whoever copies headers by assignment would have another prototype of it, and no header.
  if (own || name === '__proto__' || !/^[!-9;-~]+$/.test(name))
    throw invalid(`an output cannot have the header ${JSON.stringify(name)}`)
  if (typeof text !== 'string' || /[\r\n]|^\s|\s$|\p{Surrogate}/u.test(text)) {
    throw invalid(`the header ${name} is well-formed text without line breaks and outer spaces`)
  }
}

/** By way of the bytes of the value: what is no value is refused, with the place in it. */
const jsonBytes = (value: unknown): Uint8Array => {
  if (value === undefined) throw invalid('an output needs a value: null, if there is nothing to say')
  return Buffer.from(JSON.stringify(toJson(decodeValue(encodeValue(value)))))
}

const invalid = (message: string) => new HoldfastError('INVALID', message)
