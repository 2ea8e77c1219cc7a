/**
 * The cursor of a watch over all partitions: one position for each, as one opaque text.
 *
 * X1. Its text is base64url of the positions joined by `,` in the order of the partitions. A position is a cursor, or `start` where
 *     nothing of that partition was seen yet.
 */
import { parseCursor } from '../protocol/cursor.ts'
import { HoldfastError } from '../protocol/errors.ts'
import { maxPartitions } from '../protocol/partitioning.ts'

export const formatVector = (positions: readonly string[]): string =>
  Buffer.from(positions.join(',')).toString('base64url')

/** Throws `INVALID` for a text that `formatVector` does not write. */
export function parseVector(text: string): readonly string[] {
  const positions = /^[A-Za-z0-9_-]+$/.test(text) ? Buffer.from(text, 'base64url').toString('latin1').split(',') : []
  try {
    if (positions.length === 0 || positions.length > maxPartitions) throw new RangeError('not one for each partition')
    positions.forEach((position, partition) => {
      if (position !== 'start' && parseCursor(position).partition !== partition)
        throw new RangeError('partitions out of order')
    })
  } catch (cause) {
    throw new HoldfastError(
      'INVALID',
      'this is not the cursor of a watch over a type: pass one that came with a change, as it is',
      {
        cause,
      },
    )
  }
  return positions
}
