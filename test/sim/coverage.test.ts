import { expect, it } from 'vitest'
import { Coverage } from '../../src/testing/sim/coverage.ts'
import { faultKinds } from '../../src/testing/sim/faults.ts'
import { steps } from '../../src/testing/sim/steps.ts'

it('misses every pair that can exist until it is hit (C2)', () => {
  const coverage = new Coverage()
  const all = coverage.missing()
  expect(all).toHaveLength(faultKinds.length * steps.length - 1)
  expect(all).not.toContain('leave × leaving')
  coverage.hit('crash', 'claiming')
  expect(coverage.missing()).toEqual(all.filter((pair) => pair !== 'crash × claiming'))
})

it('adds up what several runs have hit, and shows it', () => {
  const [one, other] = [new Coverage(), new Coverage()]
  one.hit('freeze', 'appending')
  other.hit('freeze', 'appending')
  other.hit('loss', 'appending', 40)
  one.add(other.hits)
  expect(one.hits).toEqual({ freeze: { appending: 2 }, loss: { appending: 40 } })
  const line = one
    .table()
    .split('\n')
    .find((text) => text.startsWith('appending'))!
  expect(line.split(/\s+/).slice(1)).toEqual(
    faultKinds.map((fault) => (fault === 'freeze' ? '2' : fault === 'loss' ? '40' : '0')),
  )
})

it('says where a pair was hit that is said to be impossible', () => {
  const coverage = new Coverage()
  expect(coverage.contradicted()).toEqual([])
  coverage.hit('leave', 'leaving')
  expect(coverage.contradicted()).toEqual(['leave × leaving'])
})
