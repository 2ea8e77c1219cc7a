/**
 * Takes from queues that have their turns one after another, the first of each, then the second of each, what comes after the first `most`
 * of them. The queues keep their order, and so does what is taken.
 */
export function takeBeyond<T>(queues: readonly T[][], most: number): T[] {
  let depth = 0
  let left = Math.max(0, Math.floor(most))
  let longer = queues.filter(({ length }) => length > depth)
  while (longer.length > 0 && longer.length <= left) {
    left -= longer.length
    depth++
    longer = longer.filter(({ length }) => length > depth)
  }
  return longer.flatMap((queue, i) => queue.splice(i < left ? depth + 1 : depth))
}
