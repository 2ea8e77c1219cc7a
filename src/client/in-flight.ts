/** Calls of which only so many are on their way at a time. */

/**
 * Runs `call` for each item, `most` at a time, in the order of the items. Waits for all that were begun; begins none after a failure, and
 * rejects with the first one.
 */
export async function inFlight<T>(items: Iterable<T>, most: number, call: (item: T) => Promise<void>): Promise<void> {
  const iterator = items[Symbol.iterator]()
  let failure: { readonly error: unknown } | undefined
  const run = async () => {
    while (failure === undefined) {
      const next = iterator.next()
      if (next.done === true) return
      try {
        await call(next.value)
      } catch (error) {
        failure ??= { error }
      }
    }
  }
  await Promise.all(Array.from({ length: most }, run))
  if (failure !== undefined) throw failure.error
}
