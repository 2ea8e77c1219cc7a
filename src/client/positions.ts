/**
 * How far the partitions had come that a session has seen, so that no later read of it goes behind that.
 *
 * C1. Every reply counts, of commands and queries, of owners and standbys.
 * C2. A read that may be stale asks to be answered after all that the session has seen of its partition. A strong one does where a standby
 *     said it, since the owner may hear of its own record's commit a little later than a standby reads it.
 * C3. A position of another generation replaces what was seen: there is no order between the two. A read that was to be answered after the
 *     old one, which its caller did not give, is asked again: the refusal has told where the new log is.
 */
import { endOfRecord, formatCursor, parseCursor, type Cursor } from '../protocol/cursor.ts'
import { HoldfastError } from '../protocol/errors.ts'
import type { LogPoint, ReadBounds, ReplyPosition } from '../protocol/frames.ts'
import type { PartitionId } from '../protocol/ids.ts'
import { maxPartitions } from '../protocol/partitioning.ts'
import { formatVector, parseVector } from './watch-cursor.ts'

export class Positions {
  readonly #seen: (ReplyPosition | undefined)[] = []

  saw(at: ReplyPosition): void {
    if (at.partition >= maxPartitions) return
    const seen = this.#seen[at.partition]
    if (seen === undefined || seen.generation !== at.generation || at.seq >= seen.seq) this.#seen[at.partition] = at
  }

  /** Of a read of a partition; `undefined`: none is needed. `cursors`: what else it is to be answered after. */
  bounds(
    partition: PartitionId,
    maxStalenessMs: number | undefined,
    cursors: readonly Cursor[] = none,
  ): ReadBounds | undefined {
    const seen = this.#seen[partition]
    let after: LogPoint | undefined
    if (seen !== undefined && (maxStalenessMs !== undefined || seen.ageMs !== undefined)) after = seen
    for (const cursor of cursors) {
      if (cursor.partition !== partition) continue
      if (after === undefined || after.generation !== cursor.generation || cursor.seq > after.seq) after = cursor
    }
    return maxStalenessMs === undefined && after === undefined ? undefined : { maxStalenessMs, after }
  }

  /** All that was seen, as one text. `partitions`: how many there are. */
  cursor(partitions: number): string {
    return formatVector(
      Array.from({ length: Math.max(partitions, 1) }, (_, p) => {
        const seen = this.#seen[p]
        return seen === undefined ? 'start' : cursorOf(seen)
      }),
    )
  }
}

/** Behind all changes of the record. */
export const cursorOf = ({ partition, generation, seq }: ReplyPosition): string =>
  formatCursor({ partition, generation, seq, index: endOfRecord })

/** The cursor of a change, of a reply, or of several partitions. Throws `INVALID`. */
export function parseAfter(text: unknown): readonly Cursor[] {
  try {
    if (typeof text !== 'string') throw new TypeError('not a text')
    if (/^[0-9]+-/.test(text)) return [parseCursor(text)]
    return parseVector(text).flatMap((position) => (position === 'start' ? [] : [parseCursor(position)]))
  } catch (cause) {
    throw new HoldfastError('INVALID', '`after` is the cursor of a reply, a client or a change: pass it as it came', {
      cause,
    })
  }
}

const none: readonly Cursor[] = []
