/** A slice of `npm run chaos`: that a run strikes, measures and reads everything, and finds what is wrong. */
import { expect, it } from 'vitest'
import type { Finals } from './reckoning.ts'
import { run } from './run.ts'
import { pauses } from './faults/pauses.ts'
import { partitions } from './world.ts'

/** Takes an acknowledged write out of what is there at the end; resolves to its key and id. */
function lose({ ledgers }: Finals): readonly [key: string, id: string] {
  const [key, ids] = [...ledgers].find(([, ids]) => ids.length > 2)!
  const lost = (ids as string[]).splice(1, 1)
  return [key, lost[0]!]
}

it(
  'a write that was acknowledged and is lost is found where a node was paused, and nothing else',
  { timeout: 120_000 },
  async () => {
    const lost: (readonly [key: string, id: string])[] = []
    const outcome = await run({
      fault: pauses[0]!,
      first: 0,
      strikes: 1,
      pace: { workers: 32, keys: 4, beforeMs: 400, afterMs: 0 },
      say: () => {},
      tamper: (_, finals) => lost.push(lose(finals)),
    })
    const [[key, id]] = lost as [readonly [string, string]]
    // As lost, as a list that no order of the operations gives, and as what its log does not say.
    expect(
      outcome.violations.filter((what) => what.startsWith(`${id} was acknowledged and is not in ${key}`)),
    ).toHaveLength(1)
    expect(outcome.violations.filter((what) => what.startsWith(`${key} is not linearizable`))).toHaveLength(1)
    expect(outcome.violations.filter((what) => what.startsWith(`${key} was read as`))).toHaveLength(1)
    expect(outcome.violations.filter((what) => !what.includes(key) && !what.includes(id))).toEqual([])

    expect(outcome.strikes).toBe(1)
    expect(outcome.operations).toBeGreaterThan(100)
    expect(outcome.writesPerSecond).toHaveLength(1)
    expect(outcome.records).toBeGreaterThan(partitions)
    // The share of the node that was paused, for a second.
    expect(outcome.waitsMs.length).toBeGreaterThanOrEqual(Math.floor(partitions / 3))
    expect(Math.min(...outcome.waitsMs)).toBeGreaterThan(800)
  },
)
