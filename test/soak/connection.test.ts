/**
 * That the connections of the soak are no better than those of Linux. Two network namespaces, 5 % of all packets dropped where they come in, Linux
 * 6.18, messages of 14 bytes: 600 connections with one each 500 ms, 300 with one each 100 ms, for 400 s, after the first 20 s of each
 * connection. Counted were those that came later than so many ms and not along with another one, in a million messages.
 */
import { expect, it } from 'vitest'
import type { Clock } from '../../src/ports/clock.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'
import { Direction, type Network } from './connection.ts'

const measured = [
  { everyMs: 500, waits: { 30: 50_841, 190: 50_584, 350: 2_891, 590: 372, 1_300: 23, 2_900: 0 } },
  { everyMs: 100, waits: { 30: 47_850, 190: 3_308, 350: 431, 590: 143, 1_300: 29, 2_900: 2 } },
] as const

/** Of what was measured: both are counts of what happens by chance, some of it twice in a million times. */
const enough = 0.85

it.each(measured)(
  'with a message each $everyMs ms it waits as often as on Linux, or oftener',
  async ({ everyMs, waits }) => {
    const messages = 3_000_000
    const random = new SeededRandom(`a message each ${everyMs} ms`)
    let nowMs = 0
    // A direction asks for the time and for nothing else.
    const clock = { monotonic: () => nowMs } as Clock
    const network: Network = { clock, random, loses: () => random.chance(0.05), latencyMs: () => 0.1 }
    const direction = new Direction(network)
    const seen: number[] = []
    let lastMs = 0
    for (; seen.length < messages; nowMs += everyMs) {
      const ms = direction.delayMs()
      seen.push(nowMs + ms - lastMs > 1 ? ms : 0)
      lastMs = nowMs + ms
    }
    for (const [ms, inAMillion] of Object.entries(waits)) {
      const here = (seen.filter((each) => each > Number(ms)).length / messages) * 1_000_000
      expect(here, ms).toBeGreaterThanOrEqual(enough * inAMillion)
    }
  },
)
