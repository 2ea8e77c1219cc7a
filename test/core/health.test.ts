import { describe, expect, it } from 'vitest'
import { liveness, mostReasons, readiness, type HealthFacts, type NamedPartition } from '../../src/core/health.ts'
import { partitionId, type Epoch } from '../../src/protocol/ids.ts'

const named = (change: Partial<NamedPartition> = {}): NamedPartition => ({
  partition: partitionId(3),
  as: 'owner',
  epoch: 7 as Epoch,
  role: 'owner',
  roleEpoch: 7 as Epoch,
  reason: undefined,
  ...change,
})
const lease = { held: true, renewedMsAgo: 400, termMs: 2_000, draining: false }
const well: HealthFacts = { state: 'running', connected: true, lease, named: [named()] }
const codes = (facts: Partial<HealthFacts>) => readiness({ ...well, ...facts }).map(({ code }) => code)

describe('a node lives', () => {
  it.each<[string, Partial<HealthFacts>]>([
    ['while it starts', { state: 'starting', connected: false, lease: undefined, named: undefined }],
    ['while it leaves', { state: 'leaving' }],
    [
      'without a connection, a renewal or its partitions (H1)',
      {
        connected: false,
        lease: { ...lease, renewedMsAgo: 1e9 },
        named: [named({ role: 'stopped', reason: 'it is gone' })],
      },
    ],
  ])('%s', (_, facts) => {
    expect(liveness({ ...well, ...facts })).toEqual([])
  })

  it.each(['fenced', 'crashed', 'closed'] as const)('no more once it is %s, and is not ready either', (state) => {
    expect(liveness({ ...well, state })).toMatchObject([{ code: 'state' }])
    expect(readiness({ ...well, state })).toEqual(liveness({ ...well, state }))
  })
})

describe('a node is ready (H2)', () => {
  it.each<[string, Partial<HealthFacts>]>([
    ['with all that it is named for', {}],
    ['with nothing that it is named for', { named: [] }],
    ['while it hands a partition over, which is by order', { named: [named({ role: 'handing-off' })] }],
    [
      'as a standby that follows, at whatever epoch',
      { named: [named({ as: 'standby', role: 'standby', roleEpoch: 0 as Epoch })] },
    ],
    ['up to the very term of its lease', { lease: { ...lease, renewedMsAgo: 2_000 } }],
  ])('%s', (_, facts) => {
    expect(codes(facts)).toEqual([])
  })

  it.each<[string, Partial<HealthFacts>, string]>([
    ['while it starts', { state: 'starting' }, 'state'],
    ['while it leaves', { state: 'leaving' }, 'state'],
    ['without a connection', { connected: false }, 'disconnected'],
    ['without a lease', { lease: { ...lease, held: false } }, 'not-a-member'],
    ['before it has one', { lease: undefined }, 'not-a-member'],
    ['past the term of its lease', { lease: { ...lease, renewedMsAgo: 2_001 } }, 'lease-not-renewed'],
    ['when it drains', { lease: { ...lease, draining: true } }, 'draining'],
    ['before it has seen the table', { named: undefined }, 'no-table'],
    ['while a partition replays', { named: [named(), named({ role: 'replaying' })] }, 'partition-not-served'],
    [
      'while a partition has not begun',
      { named: [named({ role: 'none', roleEpoch: 0 as Epoch })] },
      'partition-not-served',
    ],
    [
      'as a standby that is not there yet',
      { named: [named({ as: 'standby', role: 'replaying' })] },
      'partition-not-served',
    ],
    ['while one is stopped', { named: [named({ role: 'stopped', reason: 'gone' })] }, 'partition-not-served'],
    ['as the owner at an epoch that is over', { named: [named({ roleEpoch: 6 as Epoch })] }, 'partition-not-served'],
  ])('not %s', (_, facts, code) => {
    expect(codes(facts)).toEqual([code])
  })

  it('and says what is wrong in words', () => {
    const named3 = named({ role: 'stopped', roleEpoch: 6 as Epoch, reason: 'its log is gone' })
    expect(readiness({ ...well, named: [named3] })[0]?.message).toBe(
      'partition 3 is to be served at epoch 7 and is stopped at epoch 6: its log is gone',
    )
  })

  it('and says what is wrong with a standby', () => {
    const message = (role: string) => readiness({ ...well, named: [named({ as: 'standby', role })] })[0]?.message
    expect(message('none')).toBe('partition 3 is to be stood by for, and has not begun here')
    expect(message('replaying')).toBe('partition 3 is to be stood by for, and is replaying here')
  })

  it(`with at most ${mostReasons} reasons, and how many more there are (H3)`, () => {
    const many = Array.from({ length: 512 }, () => named({ role: 'replaying' }))
    const reasons = readiness({ ...well, connected: false, named: many })
    expect(reasons).toHaveLength(mostReasons + 1)
    expect(reasons[0]?.code).toBe('disconnected')
    expect(reasons.at(-1)).toEqual({ code: 'more', message: `and ${513 - mostReasons} more` })
  })
})
