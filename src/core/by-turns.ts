/**
 * Takes from queues that have their turns one after another, the first of each, then the second of each, what comes after the first `most`
 * of them, each as much as `weightOf` says. The queues keep their order, and so does what is taken.
 */
export function takeBeyond<T>(queues: readonly T[][], most: number, weightOf: (turn: T) => number): T[] {
  let left = most
  let longer = queues
  for (let depth = 0; longer.length > 0; depth++) {
    longer = longer.filter(({ length }) => length > depth)
    for (const [i, queue] of longer.entries()) {
      left -= weightOf(queue[depth]!)
      if (left < 0) return longer.flatMap((each, n) => each.splice(n < i ? depth + 1 : depth))
    }
  }
  return []
}
