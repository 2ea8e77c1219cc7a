import type { PartitionLog } from '../../src/ports/changelog.ts'
import { seq } from '../../src/protocol/ids.ts'

/** A log that somebody trims between the look at where it begins and each read. */
export function trimmedAsRead(log: PartitionLog, first: number): PartitionLog {
  return {
    ...log,
    async *read(from, to) {
      await log.trim(seq(first))
      yield* log.read(from, to)
    },
  }
}
