/**
 * How a standby asks the owner how far it has committed (Q1): an empty request to `<cluster>.position.<n>`, and a JSON answer.
 *
 * The answer is true of a moment between the asking and the answer: the owner gives it under its lease. Where the lease is not certain, or
 * there is no owner, it is `null`, or nobody answers.
 */
import { HoldfastError } from './errors.ts'
import { epoch, generation, isGeneration, seq, type Epoch, type Generation, type Seq } from './ids.ts'
import { parseFormatted } from './json-text.ts'

export interface CommittedPosition {
  readonly generation: Generation
  /** Of the owner that says so. */
  readonly epoch: Epoch
  /** The last committed record. */
  readonly seq: Seq
  /** Partition time then, ms. */
  readonly time: number
}

const format = 1

export const encodeCommitted = (position: CommittedPosition | null): Uint8Array =>
  new TextEncoder().encode(JSON.stringify({ format, position }))

/** Throws `INVALID` for anything that `encodeCommitted` does not write. */
export function decodeCommitted(bytes: Uint8Array): CommittedPosition | null {
  const { position } = parseFormatted(bytes, format, malformed)
  if (position === null) return null
  if (typeof position !== 'object') throw malformed('position')
  const fields = position as { readonly [field in keyof CommittedPosition]?: unknown }
  if (typeof fields.generation !== 'string' || !isGeneration(fields.generation)) throw malformed('generation')
  return {
    generation: generation(fields.generation),
    epoch: epoch(natural(fields.epoch, 'epoch')),
    seq: seq(natural(fields.seq, 'seq')),
    time: natural(fields.time, 'time'),
  }
}

function natural(value: unknown, what: string): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number
  throw malformed(what)
}

const malformed = (what: string, cause?: unknown) =>
  new HoldfastError('INVALID', `this is not a committed position of format ${format}: bad ${what}`, { cause })
