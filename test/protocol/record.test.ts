import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isHoldfastError } from '../../src/protocol/errors.ts'
import {
  epoch,
  generation,
  incarnation,
  partitionId,
  rev,
  seq,
  sessionId,
  type NodeId,
} from '../../src/protocol/ids.ts'
import {
  decodeRecord,
  encodeRecord,
  linkBytes,
  recordVersion,
  stateHashBytes,
  type LogRecord,
  type RecordKind,
} from '../../src/protocol/record.ts'
import { writeValue } from '../../src/protocol/value-bytes.ts'
import { name, text } from './arbitraries.ts'

const plain = { noNullPrototype: true } as const
const nodeId = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/) as fc.Arbitrary<NodeId>
const session = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/).map(sessionId)
const number = fc.oneof(fc.nat({ max: 300 }), fc.maxSafeNat())
const bytes = fc.uint8Array({ maxLength: 300 })

const header = {
  partition: fc.nat({ max: 511 }).map(partitionId),
  epoch: number.map(epoch),
  incarnation: text({ maxLength: 30 }).map(incarnation),
  prev: fc.uint8Array({ minLength: linkBytes, maxLength: linkBytes }),
  time: number,
  published: number.map(seq),
  stateHash: fc.uint8Array({ minLength: stateHashBytes, maxLength: stateHashBytes }),
}

const mutation = fc.record(
  {
    type: name,
    key: name,
    rev: number.map(rev),
    state: fc.oneof(bytes, fc.constantFrom(null, undefined)),
    expiresAt: fc.option(number),
  },
  plain,
)

const turn = (sessions: number) =>
  fc.record(
    {
      session: sessions === 0 ? fc.constant(null) : fc.option(fc.nat({ max: sessions - 1 })),
      number,
      reply: bytes,
      mutations: fc.array(mutation, { maxLength: 3 }),
    },
    plain,
  )

const output = fc.record(
  {
    subject: name,
    data: bytes,
    headers: fc.dictionary(fc.stringMatching(/^[A-Z][a-z-]{0,8}$/), text(), { ...plain, maxKeys: 3 }),
  },
  plain,
)

const commit = fc.array(fc.record({ session, low: number }, plain), { maxLength: 4 }).chain((sessions) =>
  fc.record(
    {
      kind: fc.constant('commit' as const),
      ...header,
      sessions: fc.constant(sessions),
      ended: fc.array(session, { maxLength: 4 }),
      turns: fc.array(turn(sessions.length), { maxLength: 6 }),
      outputs: fc.array(output, { maxLength: 3 }),
    },
    plain,
  ),
)

const record: fc.Arbitrary<LogRecord> = fc.oneof(
  fc.record({ kind: fc.constant('genesis' as const), ...header, generation: text().map(generation) }, plain),
  fc.record({ kind: fc.constant('claim' as const), ...header, node: nodeId }, plain),
  fc.record({ kind: fc.constant('handoff' as const), ...header, to: nodeId }, plain),
  commit,
)

/** The record, or nothing where it is `INTERNAL`; any other outcome is thrown. */
function decoded(encoded: Uint8Array): LogRecord | undefined {
  try {
    return decodeRecord(encoded)
  } catch (error) {
    if (isHoldfastError(error, 'INTERNAL')) return undefined
    throw error
  }
}

const refused = (fields: unknown) => expect(decoded(writeValue(fields))).toBeUndefined()

describe('a changelog record', () => {
  it('comes back as it was (L2)', () => {
    fc.assert(
      fc.property(record, (given) => {
        expect(decodeRecord(encodeRecord(given))).toEqual(given)
      }),
      { numRuns: 500 },
    )
  })

  it('has the same bytes whenever it is encoded, so that it can be appended again (L5)', () => {
    fc.assert(
      fc.property(record, (given) => {
        const first = encodeRecord(given).slice()
        expect(encodeRecord(decodeRecord(first))).toEqual(first)
      }),
    )
  })

  it('tells a collected tombstone from a deletion and from an empty state, and no expiry from one at once', () => {
    const states = [undefined, null, new Uint8Array(0), Uint8Array.of(0)]
    const mutations = states.flatMap((state) =>
      [null, 0].map((expiresAt) => ({ type: 't', key: 'k', rev: rev(1), state, expiresAt })),
    )
    const turns = [{ session: null, number: 0, reply: new Uint8Array(0), mutations }]
    const back = decodeRecord(encodeRecord({ ...golden.commit, turns }))
    expect(back.kind === 'commit' && back.turns).toEqual(turns)
  })
})

const common = {
  partition: partitionId(3),
  epoch: epoch(7),
  incarnation: incarnation('aB3dE6gH9jK2mN5pQ8sT1v'),
  prev: Uint8Array.from({ length: linkBytes }, (_, i) => i * 16),
  time: 1_767_225_600_123,
  published: seq(70_000),
  stateHash: Uint8Array.of(0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10),
}

const golden = {
  genesis: {
    kind: 'genesis',
    partition: partitionId(3),
    epoch: epoch(0),
    incarnation: incarnation(''),
    prev: new Uint8Array(linkBytes),
    time: 0,
    published: seq(0),
    stateHash: new Uint8Array(stateHashBytes),
    generation: generation('Gx7aB3dE6gH9jK2mN5pQ8s'),
  },
  claim: { kind: 'claim', ...common, node: 'node-a_1' as NodeId },
  commit: {
    kind: 'commit',
    ...common,
    sessions: [
      { session: sessionId('s1'), low: 4 },
      { session: sessionId('gateway-2'), low: 5_000_000_000 },
    ],
    ended: [sessionId('gone')],
    turns: [
      {
        session: 0,
        number: 4,
        reply: Uint8Array.of(0x01),
        mutations: [
          { type: 'cart', key: 'c1', rev: rev(1), state: Uint8Array.of(0x81, 0xa1, 0x6e, 0x01), expiresAt: null },
        ],
      },
      {
        session: 1,
        number: 5_000_000_001,
        reply: Uint8Array.of(0xc0),
        mutations: [
          { type: 'Körbe/ü', key: '🛒 a.b', rev: rev(300), state: null, expiresAt: 1_767_312_000_123 },
          {
            type: '.kept',
            key: 'cart.add.once.c1',
            rev: rev(1),
            state: Uint8Array.of(0xc3),
            expiresAt: 1_767_312_000_124,
          },
        ],
      },
      { session: 0, number: 5, reply: Uint8Array.of(0xa1, 0x78), mutations: [] },
      {
        session: null,
        number: 0,
        reply: new Uint8Array(0),
        mutations: [{ type: 'cart', key: 'c0', rev: rev(7), state: undefined, expiresAt: null }],
      },
    ],
    outputs: [
      { subject: 'orders.out', data: Uint8Array.of(0x7b, 0x7d), headers: { 'Nats-Msg-Id': 'shop.3.9.0' } },
      { subject: 'orders.log', data: new Uint8Array(0), headers: {} },
    ],
  },
  handoff: { kind: 'handoff', ...common, to: 'node-b' as NodeId },
} as const satisfies { [Kind in RecordKind]: LogRecord & { kind: Kind } }

describe('an output with a header that is called as what all objects have', () => {
  it('is read as it was written, as logs have such ones', () => {
    const headers = Object.fromEntries([
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ])
    const outputs = [{ subject: 'out', data: Uint8Array.of(1), headers }]
    const back = decodeRecord(encodeRecord({ ...golden.commit, outputs }))
    const [output] = back.kind === 'commit' ? back.outputs : []
    expect(Object.entries(output!.headers)).toEqual(Object.entries(headers))
    expect(Object.getPrototypeOf(output!.headers)).toBe(Object.prototype)
  })
})

describe('the bytes of records on disk', () => {
  const fixture = JSON.parse(readFileSync(new URL('../fixtures/records.json', import.meta.url), 'utf8')) as Record<
    RecordKind,
    string
  >

  it.each(Object.keys(golden) as RecordKind[])('are for ever what they are for a %s', (kind) => {
    expect(Buffer.from(encodeRecord(golden[kind])).toString('hex')).toBe(fixture[kind])
    expect(decodeRecord(Buffer.from(fixture[kind], 'hex'))).toEqual(golden[kind])
  })

  it('have a fixture for each kind, and for nothing else', () => {
    expect(Object.keys(fixture)).toEqual(['genesis', 'claim', 'commit', 'handoff'])
  })
})

describe('bytes that are not a record (C1)', () => {
  const fields = (changes: Record<number, unknown>): unknown[] => {
    const claim = [recordVersion, 1, 3, 7, 'inc', common.prev, 1_000, 2, common.stateHash, 'node-a']
    return Object.assign(claim, changes)
  }
  const commitOf = (...body: unknown[]) => fields({ 1: 2, 9: body })
  const none = new Uint8Array(0)

  it('are refused by a control that differs from a record in nothing but the fault', () => {
    expect(decoded(writeValue(fields({})))?.kind).toBe('claim')
    expect(decoded(writeValue(commitOf([], [], none, [], [], [])))?.kind).toBe('commit')
  })

  it('are INTERNAL where the version is unknown, older or newer', () => {
    for (const version of [0, 2, 255, -1, '1', null, [1], { toString: 1 }]) refused(fields({ 0: version }))
    expect(() => decodeRecord(writeValue(fields({ 0: 2 })))).toThrow(/version 2/)
  })

  it('are INTERNAL where the kind is unknown, or is no number', () => {
    for (const kind of [4, 99, -1, 0.5, '1', [1], 'length', null, true, { toString: 1 }]) refused(fields({ 1: kind }))
  })

  it('are INTERNAL where a field of the header is not what it must be', () => {
    const wrong: Record<number, readonly unknown[]> = {
      2: [-1, 0.5, '3', null, 2 ** 53],
      3: [-7, 7.5, null],
      4: [1, null, new Uint8Array(3)],
      5: [new Uint8Array(15), new Uint8Array(17), 'prev', null, []],
      6: [-1, 0.5, new Date(1_000), 10n, null],
      7: [-1, null, 'x'],
      8: [new Uint8Array(7), null],
      9: ['', 'a b', 'x'.repeat(65), 5, null, []],
    }
    for (const [at, values] of Object.entries(wrong)) for (const value of values) refused(fields({ [at]: value }))
  })

  it('are INTERNAL where fields are missing or more', () => {
    for (const length of [0, 1, 9]) refused(fields({}).slice(0, length))
    refused([...fields({}), 0])
    for (const other of [null, 5, 'record', {}, new Uint8Array(10)]) refused(other)
  })

  it('are INTERNAL where the body of a commit has another shape', () => {
    const s = ['s1', 0]
    const b = Uint8Array.of(1, 2, 0xc0, 9)
    const t = [0, 1, 1, 1]
    const m = ['t', 'k', 1, 2, null]
    const o = ['out', 1, ['Name', 'value']]
    const whole = [s, ['old'], b, t, m, o]
    const but = (changes: Record<number, unknown>) => commitOf(...(Object.assign([...whole], changes) as unknown[]))
    expect(decoded(writeValue(commitOf(...whole)))).toMatchObject({
      turns: [{ reply: b.subarray(2, 3), mutations: [{ state: b.subarray(0, 2) }] }],
      outputs: [{ subject: 'out', data: b.subarray(3), headers: { Name: 'value' } }],
    })
    const without = Uint8Array.of(0xc0, 9)
    for (const state of [false, null]) {
      expect(decoded(writeValue(but({ 2: without, 4: Object.assign([...m], { 3: state }) })))).toBeDefined()
    }
    expect(decoded(writeValue(but({ 3: Object.assign([...t], { 0: null }) })))).toBeDefined()
    refused(commitOf(...whole.slice(0, 5)))
    refused(commitOf(...whole, []))
    const wrong: Record<number, readonly unknown[]> = {
      0: [['s1'], [1, 0], ['s1', -1], [], null],
      1: [[5], null],
      2: ['text', new Uint8Array(0), Uint8Array.of(1, 2, 0xc0), Uint8Array.of(1, 2, 0xc0, 9, 0), []],
      3: [t.slice(1), [...t, ...t], []],
      4: [m.slice(1), [...m, ...m], []],
      5: [o.slice(1), [...o, ...o], []],
    }
    for (const [at, values] of Object.entries(wrong)) for (const value of values) refused(but({ [at]: value }))
    const fieldsOf = { 3: t, 4: m, 5: o } as const
    for (const [part, at, value] of [
      [3, 0, 1],
      [3, 0, -1],
      [3, 1, 0.5],
      [3, 2, 0],
      [3, 2, 4],
      [3, 2, 'reply'],
      [3, 3, 0],
      [3, 3, 2],
      [3, 3, null],
      [4, 0, 5],
      [4, 1, null],
      [4, 2, '1'],
      [4, 3, 1],
      [4, 3, 3],
      [4, 3, -1],
      [4, 3, 2 ** 40],
      [4, 3, 'state'],
      [4, 3, true],
      [4, 4, -1],
      [4, 4, 'soon'],
      [4, 4, false],
      [5, 0, null],
      [5, 1, 2],
      [5, 1, null],
      [5, 2, ['Name']],
      [5, 2, ['Name', 5]],
      [5, 2, null],
    ] as const) {
      refused(but({ [part]: Object.assign([...fieldsOf[part]], { [at]: value }) }))
    }
  })

  it('are INTERNAL wherever they are cut off, or go on', () => {
    fc.assert(
      fc.property(record, fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 9 }), (given, at, more) => {
        const whole = encodeRecord(given).slice()
        expect(decoded(whole.subarray(0, at % whole.length))).toBeUndefined()
        expect(decoded(Buffer.concat([whole, more]))).toBeUndefined()
      }),
    )
  })

  it('are another record or INTERNAL after a flipped bit, and never anything else', () => {
    fc.assert(
      fc.property(record, fc.array(fc.nat(), { minLength: 1, maxLength: 3 }), (given, flips) => {
        const whole = encodeRecord(given).slice()
        const damaged = whole.slice()
        for (const flip of flips) {
          const bit = flip % (damaged.length * 8)
          damaged[bit >> 3]! ^= 1 << (bit & 7)
        }
        const back = decoded(damaged)
        if (back !== undefined && Buffer.compare(damaged, whole) !== 0) expect(back).not.toEqual(given)
      }),
      { numRuns: 2_000 },
    )
  })

  it('are INTERNAL where anybody wrote them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        expect(decoded(noise)).toBeUndefined()
      }),
      { numRuns: 2_000 },
    )
  })

  it('take no memory for what they only claim to hold, and run nothing', () => {
    const claims = [
      [0xdd, 0x01, 0xff, 0xff, 0xff],
      [0xdf, 0xff, 0xff, 0xff, 0xff],
      [0xc6, 0xff, 0xff, 0xff, 0xff],
      [0xdb, 0xff, 0xff, 0xff, 0xff],
    ]
    const before = process.memoryUsage().rss
    for (const claim of claims) {
      for (const times of [1, 16, 1_000]) {
        expect(decoded(Uint8Array.from(Array.from({ length: times }, () => claim).flat()))).toBeUndefined()
      }
    }
    expect(decoded(Uint8Array.from({ length: 200_000 }, () => 0x91))).toBeUndefined()
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1_024 * 1_024)
    // Extensions that general msgpack codecs read: a record structure, an error, a set, a regular expression, a typed array.
    for (const type of [0x72, 0x65, 0x73, 0x78, 0x74, 0x70, 0x69, 0x62]) {
      const extension = Uint8Array.of(0xd5, type, 0x40, 0x91)
      const whole = writeValue(fields({}))
      expect(decoded(Buffer.concat([whole.subarray(0, -7), extension]))).toBeUndefined()
      expect(decoded(Buffer.concat([Uint8Array.of(0x91), extension]))).toBeUndefined()
    }
  })
})
