import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeGossip, encodeGossip, maxGossipBytes, type Gossip } from '../../src/core/gossip.ts'
import { hostedRoles, type Member, type MemberVersion, type News } from '../../src/core/membership.ts'
import { isHoldfastError } from '../../src/protocol/errors.ts'
import { epoch, incarnation, partitionId, seq, type NodeId } from '../../src/protocol/ids.ts'
import { writeValue } from '../../src/protocol/value-bytes.ts'

const plain = { noNullPrototype: true } as const
const nodeId = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/) as fc.Arbitrary<NodeId>
const version = fc.record(
  {
    id: nodeId,
    boot: fc.maxSafeNat(),
    incarnation: fc.stringMatching(/^[A-Za-z0-9]{1,22}$/).map(incarnation),
    heartbeat: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  },
  plain,
)
const label = fc.string({ unit: 'binary', maxLength: 20 })
const details = fc.record(
  {
    host: label,
    zone: label,
    version: label,
    load: fc.double({ min: 0, max: 1e9, noNaN: true }).map((n) => (n === 0 ? 0 : n)),
    leaving: fc.boolean(),
    partitions: fc.array(
      fc.record(
        {
          partition: fc.nat(511).map(partitionId),
          role: fc.constantFrom(...hostedRoles),
          epoch: fc.nat().map(epoch),
          appliedSeq: fc.maxSafeNat().map(seq),
          headLag: fc.nat(),
          stateHash: fc.stringMatching(/^[0-9a-f]{16}$/),
        },
        plain,
      ),
      { maxLength: 4 },
    ),
  },
  plain,
)
const news: fc.Arbitrary<News> = fc
  .tuple(version, fc.option(details), fc.nat())
  .map(([v, d, n]) => ({ ...v, revised: 1 + (n % v.heartbeat), details: d }) as News)
const gossip: fc.Arbitrary<Gossip> = fc.oneof(
  fc.record(
    {
      kind: fc.constant('digest' as const),
      from: nodeId,
      digest: fc.record({ versions: fc.array(version, { maxLength: 5 }), known: fc.nat() }, plain),
    },
    plain,
  ),
  fc.record(
    {
      kind: fc.constant('answer' as const),
      from: nodeId,
      wanted: fc.array(version, { maxLength: 5 }),
      news: fc.array(news, { maxLength: 4 }),
    },
    plain,
  ),
  fc.record({ kind: fc.constant('news' as const), from: nodeId, news: fc.array(news, { maxLength: 4 }) }, plain),
)

const decoded = (bytes: Uint8Array): Gossip | undefined => {
  try {
    return decodeGossip(bytes)
  } catch (error) {
    if (isHoldfastError(error, 'INVALID')) return undefined
    throw error
  }
}

const member = (i: number, partitions: number): Member => ({
  id: `n${i}` as NodeId,
  boot: 1,
  incarnation: incarnation('a'),
  heartbeat: 1,
  revised: 1,
  details: {
    host: 'h',
    zone: 'z',
    version: '1',
    load: 0,
    leaving: false,
    partitions: Array.from({ length: partitions }, (_, p) => ({
      partition: partitionId(p),
      role: 'owner' as const,
      epoch: epoch(1),
      appliedSeq: seq(1_000_000),
      headLag: 0,
      stateHash: '0123456789abcdef',
    })),
  },
})

describe('gossip', () => {
  it('comes back as it was sent (P1)', () => {
    fc.assert(
      fc.property(gossip, (message) => {
        expect(decodeGossip(encodeGossip(message))).toStrictEqual(message)
      }),
    )
  })

  it('asks for who was never heard of, which has no incarnation yet', () => {
    const never: MemberVersion = { id: 'n1' as NodeId, boot: 0, incarnation: incarnation(''), heartbeat: 0 }
    const message: Gossip = { kind: 'answer', from: 'n2' as NodeId, wanted: [never], news: [] }
    expect(decodeGossip(encodeGossip(message))).toStrictEqual(message)
  })

  it('has the bytes of version 1 (P1)', () => {
    const wanted = [{ id: 'b' as NodeId, boot: 300, incarnation: incarnation('Xy'), heartbeat: 7 }]
    const light: News = { ...wanted[0]!, heartbeat: 9, revised: 8, details: null }
    const bytes = encodeGossip({ kind: 'answer', from: 'a' as NodeId, wanted, news: [light, member(1, 1)] })
    expect(Buffer.from(bytes).toString('hex')).toBe(
      '950101a16194a162cd012ca258790792c40b95a162cd012ca258790908' +
        'c42ddc0010a26e3101a1610101a168a17aa13100c2000001ce000f424000b030313233343536373839616263646566',
    )
  })

  it('is cut to its bound, first news first (P2)', () => {
    const all = Array.from({ length: 60 }, (_, i) => member(i, 512))
    const bytes = encodeGossip({ kind: 'news', from: 'a' as NodeId, news: all })
    expect(bytes.length).toBeLessThanOrEqual(maxGossipBytes)
    const back = decodeGossip(bytes)
    expect(back.kind === 'news' && back.news).toStrictEqual(all.slice(0, back.kind === 'news' ? back.news.length : 0))
    expect(back.kind === 'news' && back.news.length).toBeGreaterThan(20)
  })

  it('is INVALID above its bound (P2)', () => {
    const padded = writeValue([1, 2, 'a', [], [], new Uint8Array(maxGossipBytes)])
    expect(() => decodeGossip(padded)).toThrow('bad size')
  })

  it('is INVALID wherever it is cut, and whole or INVALID with a flipped bit', () => {
    fc.assert(
      fc.property(gossip, fc.nat(), fc.nat(7), (message, at, bit) => {
        const bytes = encodeGossip(message).slice()
        expect(decoded(bytes.subarray(0, at % bytes.length))).toBeUndefined()
        bytes[at % bytes.length]! ^= 1 << bit
        const read = decoded(bytes)
        if (read !== undefined) expect(decodeGossip(encodeGossip(read))).toStrictEqual(read)
      }),
      { numRuns: 1_000 },
    )
  })

  const entry = ['n1', 1, 'a', 5, 5]
  const full = [...entry, 'h', 'z', 'v', 0, false]
  it.each<[string, unknown]>([
    ['no array', { 0: 1 }],
    ['another version', [2, 0, 'a', [], []]],
    ['an unknown kind', [1, 3, 'a', [], []]],
    ['a kind by name', [1, 'length', 'a', [], []]],
    ['a sender that is no node id', [1, 0, 'a.b', [], []]],
    ['a digest with news', [1, 0, 'a', [], [writeValue(entry)], 1]],
    ['a digest that does not say of how many', [1, 0, 'a', [], []]],
    ['news with a digest', [1, 2, 'a', ['n1', 1, 'a', 1], []]],
    ['a version too short', [1, 0, 'a', ['n1', 1, 'a'], []]],
    ['an id that is none', [1, 0, 'a', ['*', 1, 'a', 1], []]],
    ['an incarnation that is none', [1, 0, 'a', ['n1', 1, 'a b', 1], []]],
    ['a boot below 0', [1, 0, 'a', ['n1', -1, 'a', 1], []]],
    ['a heartbeat as a bigint', [1, 0, 'a', ['n1', 1, 'a', 1n], []]],
    ['news that are not bytes', [1, 2, 'a', [], [entry]]],
    ['news without an incarnation', [1, 2, 'a', [], [writeValue(['n1', 1, '', 5, 5])]]],
    ['news that were revised later than they are', [1, 2, 'a', [], [writeValue(['n1', 1, 'a', 5, 6])]]],
    ['a load below 0', [1, 2, 'a', [], [writeValue([...entry, 'h', 'z', 'v', -1, false])]]],
    ['a host that is too long', [1, 2, 'a', [], [writeValue([...entry, 'h'.repeat(256), 'z', 'v', 0, false])]]],
    ['half of the details', [1, 2, 'a', [], [writeValue([...entry, 'h', 'z'])]]],
    ['half a partition', [1, 2, 'a', [], [writeValue([...full, 1, 0, 1])]]],
    ['an unknown role', [1, 2, 'a', [], [writeValue([...full, 1, 9, 1, 1, 0, 'ff'])]]],
    ['a state hash that is none', [1, 2, 'a', [], [writeValue([...full, 1, 0, 1, 1, 0, 'xx'])]]],
  ])('is INVALID with %s', (_, message) => {
    expect(decoded(writeValue(message))).toBeUndefined()
  })

  it('is accepted with the parts that the cases above break', () => {
    expect(
      decoded(writeValue([1, 2, 'a', [], [writeValue([...full, 1, 0, 1, 1, 0, 'ff']), writeValue(entry)]])),
    ).toBeDefined()
    expect(decoded(writeValue([1, 0, 'a', ['n1', 1, 'a', 1], [], 1]))).toBeDefined()
  })
})
