import { afterAll, expect, it } from 'vitest'
import { simulate, type Run } from './run.ts'

/** One test for each seed, and one for all: what is to be survived must have happened. */
export function simulateSeeds(first: number, last: number): void {
  const runs: Run[] = []

  for (let seed = first; seed <= last; seed++) {
    it(`seed ${seed}: nothing acknowledged is lost, nothing is applied twice, no strong read is stale`, async () => {
      const run = await simulate(seed)
      runs.push(run)
      expect(run.wrong, `replay it with: npm run sim -- ${seed}`).toEqual([])
      expect(run.acknowledged).toBeGreaterThan(20)
    })
  }

  afterAll(() => {
    // A world in which nothing goes wrong proves nothing.
    const total = (of: (run: Run) => number) => runs.reduce((sum, run) => sum + of(run), 0)
    if (runs.length !== last - first + 1) return
    expect(total(({ takeovers }) => takeovers)).toBeGreaterThan(runs.length * 5)
    expect(total(({ recoveries }) => recoveries)).toBeGreaterThan(runs.length / 2)
    expect(total(({ fenced }) => fenced)).toBeGreaterThan(0)
    expect(total(({ voids }) => voids)).toBeGreaterThan(0)
    expect(total(({ doubtful }) => doubtful)).toBeGreaterThan(0)
  })
}
