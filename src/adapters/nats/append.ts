/**
 * One append on the wire, and what its acknowledgement says (C1, C3).
 *
 * A4. `refused` only where the server says that it did not store the record and never will: a wrong expectation, a record too
 *     large, a limit reached, or nobody who listens. Any other error, also one that this version does not know, is `unknown`.
 */
import { MsgHdrsImpl, type MsgHdrs } from '@nats-io/transport-node'
import type { AppendResult } from '../../protocol/log.ts'
import type { Seq } from '../../protocol/ids.ts'
import { apiErrors, errorOf, object, type ApiError } from './jetstream.ts'
import type { Answer } from './requests.ts'

const expectedHeader = 'Nats-Expected-Last-Sequence'

/** Bytes that the header of an append takes at most. */
export const appendOverhead = `NATS/1.0\r\n${expectedHeader}: ${Number.MAX_SAFE_INTEGER}\r\n\r\n`.length

export const expecting = (expected: Seq): MsgHdrs => MsgHdrsImpl.fromRecord({ [expectedHeader]: [String(expected)] })

export function resultOf(answer: Answer, stream: string): AppendResult {
  switch (answer.kind) {
    case 'answered':
      return acknowledged(answer.message.data, stream)
    case 'no-responders':
      return refused(`the server gave it to nobody: there is no stream ${stream}, or it has no leader now`)
    case 'not-sent':
      return refused(`it was not sent: ${answer.reason}`)
    case 'lost':
      return unknown(answer.reason)
  }
}

const utf8 = new TextDecoder()

function acknowledged(data: Uint8Array, stream: string): AppendResult {
  try {
    const ack = object(JSON.parse(utf8.decode(data)))
    const error = errorOf(ack)
    if (error !== undefined) return (isDefinite(error) ? refused : unknown)(`${error.description} (${error.number})`)
    const seq = ack['seq']
    if (ack['stream'] !== stream) return unknown(`it was stored by another stream, ${String(ack['stream'])}`)
    if (typeof seq === 'number' && Number.isSafeInteger(seq) && seq > 0) {
      return { kind: 'accepted', seq: seq as Seq, duplicate: ack['duplicate'] === true }
    }
  } catch {
    // Said below: what is not JSON is no better than JSON without a sequence.
  }
  return unknown('the acknowledgement cannot be read')
}

const definite: ReadonlySet<number> = new Set([
  apiErrors.wrongLastSequence,
  apiErrors.wrongLastSequenceUnknown,
  apiErrors.messageTooLarge,
  apiErrors.headersTooLarge,
  apiErrors.streamSealed,
])

function isDefinite({ number, description }: ApiError): boolean {
  // The same number also tells of a disk that failed in the middle of writing.
  if (number === apiErrors.storeFailed) return /^maximum (?:messages|bytes)\b.*exceeded$/.test(description)
  return definite.has(number)
}

export const refused = (reason: string): AppendResult => ({ kind: 'refused', reason })
const unknown = (reason: string): AppendResult => ({ kind: 'unknown', reason })
