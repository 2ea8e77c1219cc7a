/** One append to a log: what it carries, and what the acknowledgement means for it (C1, C3). */
import type { AppendResult } from '../../protocol/log.ts'
import type { Seq } from '../../protocol/ids.ts'
import { acknowledgementOf, sentenceOf } from './acknowledgement.ts'
import type { Headers } from '../../ports/transport.ts'
import { headerBlockBytes } from './outbound.ts'
import type { Answer } from './requests.ts'

const expectedHeader = 'Nats-Expected-Last-Sequence'

/** Bytes that the header of an append takes at most. */
export const appendOverhead = headerBlockBytes({ [expectedHeader]: String(Number.MAX_SAFE_INTEGER) })

export const expecting = (expected: Seq): Headers => ({ [expectedHeader]: String(expected) })

export function resultOf(answer: Answer, stream: string): AppendResult {
  const acknowledgement = acknowledgementOf(answer, stream)
  switch (acknowledgement.kind) {
    case 'stored':
      return { kind: 'accepted', seq: acknowledgement.seq as Seq, duplicate: acknowledgement.duplicate }
    case 'refused':
      return { kind: 'refused', reason: sentenceOf(acknowledgement.error) }
    case 'missed':
      return { kind: 'refused', reason: acknowledgement.reason }
    // Another of the same subject may have been meant, which is stored: only the log can tell.
    case 'denied':
    case 'unclear':
      return { kind: 'unknown', reason: acknowledgement.reason }
  }
}
