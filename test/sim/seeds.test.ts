import { afterAll, describe, expect, it } from 'vitest'
import { steps } from '../../src/testing/sim/steps.ts'
import { Coverage } from '../../src/testing/sim/coverage.ts'
import { simulate, type Run } from '../../src/testing/sim/run.ts'

/** A slice of `npm run sim`, which runs as many seeds as there is time for: the first ones, and some that together strike at every step. */
const seeds = [...Array.from({ length: 10 }, (_, i) => i + 1), 51, 59, 71, 83]

describe('a simulated cluster', () => {
  const runs: Run[] = []

  for (const seed of seeds) {
    it(
      `seed ${seed}: nothing acknowledged is lost or applied twice, no read is stale, and it is whole again in 30 s`,
      { timeout: 300_000 },
      async () => {
        const run = await simulate(seed)
        runs.push(run)
        expect(run.wrong, `replay it with: npm run sim -- --replay ${seed} --trace`).toEqual([])
        expect(run.acknowledged).toBeGreaterThan(10)
      },
    )
  }

  afterAll(() => {
    // A world in which nothing goes wrong proves nothing.
    if (runs.length !== seeds.length) return
    const total = (of: (run: Run) => number) => runs.reduce((sum, run) => sum + of(run), 0)
    const heard = (type: string) => total(({ events }) => events[type] ?? 0)
    expect(heard('partition.claimed')).toBeGreaterThan(runs.length * 5)
    expect(heard('partition.recovered')).toBeGreaterThan(runs.length / 4)
    for (const type of ['partition.handed-off', 'partition.standing-by', 'member.died']) {
      expect(heard(type), type).toBeGreaterThan(0)
    }
    expect(total(({ doubtful }) => doubtful)).toBeGreaterThan(0)
    expect(total(({ simulatedMs }) => simulatedMs) / runs.length).toBeGreaterThan(2 * 60_000)
    const coverage = new Coverage()
    for (const { hits } of runs) coverage.add(hits)
    expect(coverage.contradicted()).toEqual([])
    const struck = new Set(Object.values(coverage.hits).flatMap((row) => Object.keys(row)))
    expect(steps.filter((step) => !struck.has(step))).toEqual([])
  })
})
