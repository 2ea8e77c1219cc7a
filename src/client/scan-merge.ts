/**
 * One ordered reading over several partitions: the rows of each come in the order of their keys, and of all of them always the first is
 * the next. No key is in two partitions.
 */
import type { ScanRow } from '../protocol/scan.ts'
import { compareKeys } from '../protocol/key-order.ts'
import type { ScanRows } from './scan-rows.ts'

export async function* mergeRows(
  partitions: readonly ScanRows[],
  reverse: boolean,
): AsyncGenerator<ScanRow, void, undefined> {
  const direction = reverse ? -1 : 1
  const before = (a: ScanRows, b: ScanRows) => direction * compareKeys(a.head!.key, b.head!.key)
  const filled = await Promise.all(partitions.map((rows) => rows.fill()))
  // Sorted from the last head to the first, so that the first is taken from the end.
  const heads = partitions.filter((_, i) => filled[i]).toSorted((a, b) => before(b, a))
  for (let first = heads.pop(); first !== undefined; first = heads.pop()) {
    yield first.head!
    const taken = first.take()
    // A promise for each row would cost more than all else.
    if (typeof taken === 'boolean' ? taken : await taken) heads.splice(placeOf(first, heads, before), 0, first)
  }
}

/** Where it belongs among others that are sorted backwards. */
function placeOf(rows: ScanRows, heads: readonly ScanRows[], before: (a: ScanRows, b: ScanRows) => number): number {
  let low = 0
  let high = heads.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (before(rows, heads[middle]!) < 0) low = middle + 1
    else high = middle
  }
  return low
}
