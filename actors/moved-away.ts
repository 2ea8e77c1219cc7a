/**
 * The wait of a node that drains.
 *
 * MA1. It ends when the node owns nothing any more and nothing is on its way to it, and where there is nobody to move to, or nothing left
 *      that could be moved.
 * MA2. Where the registry takes no renewal of its lease for `registryAwayTerms` terms nothing can be moved away, and it rejects. That is
 *      counted in looks: a process that was stopped meanwhile has looked once.
 */
import type { Clock } from '../src/ports/clock.ts'
import { HoldfastError } from '../src/protocol/errors.ts'

export interface Draining {
  readonly clock: Clock
  /** MA1 */
  readonly goesOn: () => boolean
  /** Of its lease; `undefined` before there is one. */
  readonly own: () => { readonly renewedMsAgo: number; readonly termMs: number } | undefined
}

const registryAwayTerms = 2
/** Between two looks whether everything has moved away. */
const lookEveryMs = 50

/** Rejects with `RETRY` (MA2). */
export async function movedAway({ clock, goesOn, own }: Draining): Promise<void> {
  let [renewedAtMs, looks] = [Number.NEGATIVE_INFINITY, 0]
  while (goesOn()) {
    const { renewedMsAgo = 0, termMs = 0 } = own() ?? {}
    const atMs = clock.monotonic() - renewedMsAgo
    // Of one renewal it is the same but for rounding.
    if (atMs > renewedAtMs + 1) [renewedAtMs, looks] = [atMs, 0]
    else looks++
    if (looks * lookEveryMs > registryAwayTerms * termMs) {
      throw new HoldfastError(
        'RETRY',
        'the registry does not answer, so nothing can be moved away now: drain again later, or close the node, whose keys then wait for another one',
      )
    }
    await new Promise<void>((resolve) => clock.setTimeout(resolve, lookEveryMs))
  }
}
