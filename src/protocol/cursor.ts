/**
 * A cursor: the position of one change in a partition's changelog, which a watcher resumes from (E1).
 *
 * U1. Its text is `<partition>-<generation>-<seq>-<index>`, decimal numbers without leading zeros; each cursor has one text.
 * U2. Cursors are ordered within one partition and one generation only. Sequence 0 is before the first record.
 */
import { HoldfastError } from './errors.ts'
import { generation, partitionId, seq, type Generation, type PartitionId, type Seq } from './ids.ts'

export interface Cursor {
  readonly partition: PartitionId
  readonly generation: Generation
  readonly seq: Seq
  /** Of the change in its record, from 0. */
  readonly index: number
}

/** Index behind the last change of any record. */
export const endOfRecord = 2 ** 31 - 1

const number = '(0|[1-9][0-9]{0,15})'
const pattern = new RegExp(`^${number}-([A-Za-z0-9]{1,64})-${number}-${number}$`)

export const formatCursor = (cursor: Cursor): string =>
  `${cursor.partition}-${cursor.generation}-${cursor.seq}-${cursor.index}`

/** Throws `INVALID` for any text that `formatCursor` does not write. */
export function parseCursor(text: string): Cursor {
  const match = pattern.exec(text)
  if (match === null) throw notACursor(text)
  const [partition, at, index] = [Number(match[1]), Number(match[3]), Number(match[4])]
  if (![partition, at, index].every(Number.isSafeInteger)) throw notACursor(text)
  return { partition: partitionId(partition), generation: generation(match[2]!), seq: seq(at), index }
}

/** Below 0 if `a` is before `b`, 0 if they are the same, above 0 if after. Throws `INVALID` where they have no order (U2). */
export function compareCursors(a: Cursor, b: Cursor): number {
  if (a.partition !== b.partition || a.generation !== b.generation) {
    throw new HoldfastError(
      'INVALID',
      `the cursors ${formatCursor(a)} and ${formatCursor(b)} have no order: compare cursors of one partition and generation`,
    )
  }
  return a.seq - b.seq || a.index - b.index
}

const notACursor = (text: unknown) =>
  new HoldfastError(
    'INVALID',
    `"${String(text).slice(0, 120)}" is not a cursor: pass one that came with a change, as it is`,
  )
