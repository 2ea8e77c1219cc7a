import { expect, it } from 'vitest'
import { checkNodeOptions, type CreateNodeOptions } from '../../src/node/options.ts'

const options: CreateNodeOptions = { embedded: true, dataDir: 'data', actors: [] }

it('refuses leases that are too short for their renewals', () => {
  const membership = (renewEveryMs: number, leaseTermMs?: number) => () =>
    checkNodeOptions({
      ...options,
      settings: { membership: { renewEveryMs, ...(leaseTermMs === undefined ? {} : { leaseTermMs }) } },
    })
  expect(membership(500, 2_000)).not.toThrow()
  expect(membership(500)).not.toThrow()
  for (const wrong of [
    membership(501, 2_000),
    membership(501),
    membership(0, 2_000),
    membership(-1),
    membership(Number.NaN),
  ]) {
    expect(wrong).toThrow(/leaseTermMs is at least four times renewEveryMs/)
  }
})
