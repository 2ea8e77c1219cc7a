/**
 * What JetStream says to a message that was published to a stream, with an expectation or without.
 *
 * A4. An error is `definite` only where it says that the message is not stored and never will be: a wrong expectation, a
 *     message too large, a limit reached. Of any other, also one that this version does not know, nobody can tell.
 */
import { apiErrors, errorOf, object, type ApiError } from './jetstream.ts'
import type { Answer } from './requests.ts'

export type Acknowledgement =
  | { readonly kind: 'stored'; readonly seq: number; readonly duplicate: boolean }
  | { readonly kind: 'refused'; readonly error: ApiError }
  /** It never came to JetStream. */
  | { readonly kind: 'missed'; readonly reason: string }
  /** This user may not publish there, or not hear what came of it. */
  | { readonly kind: 'denied'; readonly reason: string }
  | { readonly kind: 'unclear'; readonly reason: string }

export function acknowledgementOf(answer: Answer, stream: string): Acknowledgement {
  switch (answer.kind) {
    case 'answered':
      return parse(answer.message.data, stream)
    case 'no-responders':
      return {
        kind: 'missed',
        reason: `the server gave it to nobody: there is no stream ${stream}, or it has no leader now`,
      }
    case 'not-sent':
      return { kind: 'missed', reason: `it was not sent: ${answer.reason}` }
    case 'denied':
      return answer
    case 'lost':
      return { kind: 'unclear', reason: answer.reason }
  }
}

export const sentenceOf = (error: ApiError) => `${error.description} (${error.number})`

const utf8 = new TextDecoder()

function parse(data: Uint8Array, stream: string): Acknowledgement {
  try {
    const ack = object(JSON.parse(utf8.decode(data)))
    const error = errorOf(ack)
    if (error !== undefined) {
      return isDefinite(error) ? { kind: 'refused', error } : { kind: 'unclear', reason: sentenceOf(error) }
    }
    const seq = ack['seq']
    if (ack['stream'] !== stream)
      return { kind: 'unclear', reason: `another stream has stored it: ${String(ack['stream'])}` }
    if (typeof seq === 'number' && Number.isSafeInteger(seq) && seq > 0) {
      return { kind: 'stored', seq, duplicate: ack['duplicate'] === true }
    }
  } catch {
    // Said below: what is not JSON is no better than JSON without a sequence.
  }
  return { kind: 'unclear', reason: 'the acknowledgement cannot be read' }
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

export const isWrongExpectation = ({ number }: ApiError): boolean =>
  number === apiErrors.wrongLastSequence || number === apiErrors.wrongLastSequenceUnknown
