import { expect, it } from 'vitest'
import { checkNodeOptions, clusterSettingsOf, retentionFrom, type CreateNodeOptions } from '../../src/node/options.ts'

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

it('takes a read lease as whole milliseconds', () => {
  expect(clusterSettingsOf({ lease: 512.3 })).toEqual({ leaseMs: 513 })
  expect(clusterSettingsOf({ lease: '1.001s' })).toEqual({ leaseMs: 1_001 })
})

it('takes so many standbys as there may be, and names the number that there may not', () => {
  const standbys = (wanted: number) => () => checkNodeOptions({ ...options, standbys: wanted })
  for (const right of [0, 1, 8]) expect(standbys(right)).not.toThrow()
  for (const wrong of [-1, 9, 0.5, Number.NaN]) expect(standbys(wrong)).toThrow(/standbys: a whole number from 0 to 8/)
})

it('takes a memory for its stores that is one', () => {
  const memory = (storeMemory: number) => () => checkNodeOptions({ ...options, storeMemory })
  expect(memory(1)).not.toThrow()
  for (const wrong of [0, -1, 0.5, Number.NaN, '64 MiB']) {
    expect(memory(wrong as number)).toThrow(/storeMemory: a whole number of bytes from 1/)
  }
})

it('takes a retention in parts, each within reason', () => {
  const retention = (wanted: CreateNodeOptions['retention']) => () =>
    checkNodeOptions({ ...options, ...(wanted === undefined ? {} : { retention: wanted }) })
  for (const right of [undefined, {}, { age: '2h' }, { bytes: 0 }] as const) expect(retention(right)).not.toThrow()
  expect(retentionFrom({ age: '2h', bytes: 5 })).toEqual({ ageMs: 7_200_000, bytes: 5 })
  for (const bytes of [-1, 0.5, Number.POSITIVE_INFINITY]) expect(retention({ bytes })).toThrow(/retention.bytes/)
  expect(retention({ age: 'soon' as '2h' })).toThrow(/retention.age/)
})
