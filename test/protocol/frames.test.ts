import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { errorCodes, isHoldfastError } from '../../src/protocol/errors.ts'
import {
  decodeReplyFrame,
  decodeRequestFrame,
  encodeReplyFrame,
  encodeRequestFrame,
  isIdempotencyKey,
  maxErrorTextLength,
  maxIdempotencyKeyBytes,
  maxRequestsInFrame,
  requestKinds,
  type Reply,
  type ReplyFrame,
  type ReplyPosition,
  type RequestFrame,
} from '../../src/protocol/frames.ts'
import { epoch, generation, partitionId, seq, sessionId, type NodeId } from '../../src/protocol/ids.ts'
import { encodeValue } from '../../src/protocol/values.ts'
import { writeValue } from '../../src/protocol/value-bytes.ts'
import { name, text } from './arbitraries.ts'

const plain = { noNullPrototype: true } as const
const number = fc.maxSafeNat()
const session = fc.string({ minLength: 1, maxLength: 22, unit: 'grapheme-ascii' }).map(sessionId)

const point = fc.record(
  { generation: fc.stringMatching(/^[A-Za-z0-9]{1,22}$/).map(generation), seq: number.map(seq) },
  plain,
)

const requestFrame: fc.Arbitrary<RequestFrame> = fc.record(
  {
    partitions: fc.constantFrom(1, 16, 512),
    session,
    low: number,
    frame: number,
    requests: fc.array(
      fc
        .tuple(
          fc.record(
            {
              kind: fc.constantFrom(...requestKinds),
              number,
              type: name,
              key: name,
              name: text({ minLength: 1, maxLength: 20 }),
              input: fc.uint8Array({ maxLength: 300 }),
              timeoutMs: fc.nat(),
            },
            plain,
          ),
          // One or the other, or neither.
          fc.oneof(
            text({ minLength: 1, maxLength: 80 })
              .filter(isIdempotencyKey)
              .map((idempotencyKey) => ({ idempotencyKey, bounds: undefined })),
            fc
              .record(
                {
                  maxStalenessMs: fc.option(fc.nat(), { nil: undefined }),
                  after: fc.option(point, { nil: undefined }),
                },
                plain,
              )
              .map((bounds) => ({ idempotencyKey: undefined, bounds })),
            fc.constant({ idempotencyKey: undefined, bounds: undefined }),
          ),
        )
        .map(([request, last]) => ({ ...request, ...last })),
      { maxLength: 5 },
    ),
  },
  plain,
)

const reply: fc.Arbitrary<ReplyFrame['replies'][number]> = fc.oneof(
  fc.record({ number, kind: fc.constant('value' as const), value: fc.uint8Array({ maxLength: 300 }) }, plain),
  fc.record(
    {
      number,
      kind: fc.constant('error' as const),
      error: fc.record(
        { code: fc.constantFrom(...errorCodes), message: text(), retryAfterMs: fc.nat(), path: text() },
        { requiredKeys: ['code', 'message'], ...plain },
      ),
      frame: number,
    },
    plain,
  ),
  fc.record(
    {
      number,
      kind: fc.constant('moved' as const),
      owner: fc.option(fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/) as fc.Arbitrary<NodeId>),
      epoch: number.map(epoch),
      frame: number,
    },
    plain,
  ),
)
const position = fc
  .tuple(point, fc.nat(511), fc.option(fc.nat(), { nil: undefined }))
  .map(([{ generation: of, seq: at }, p, ageMs]) => ({ partition: partitionId(p), generation: of, seq: at, ageMs }))
/** First those without a position, then runs of replies that share one. */
const runs = fc.tuple(
  fc.array(reply, { maxLength: 3 }),
  fc.array(fc.tuple(position, fc.array(reply, { minLength: 1, maxLength: 3 })), { maxLength: 3 }),
)
const placed = (replies: readonly Reply[], at: ReplyPosition | undefined): Reply[] =>
  replies.map((one) => (one.kind === 'moved' ? one : { ...one, at }))
const replyFrame: fc.Arbitrary<ReplyFrame> = fc.tuple(session, runs).map(([of, [first, rest]]) => ({
  session: of,
  replies: [...placed(first, undefined), ...rest.flatMap(([at, replies]) => placed(replies, at))],
}))

const codecs = [
  { what: 'request frame', frames: requestFrame, encode: encodeRequestFrame, decode: decodeRequestFrame },
  { what: 'reply frame', frames: replyFrame, encode: encodeReplyFrame, decode: decodeReplyFrame },
] as const

/** What decodes, or nothing where it is `INVALID`; any other outcome is thrown. */
const decoded = <T>(decode: (bytes: Uint8Array) => T, bytes: Uint8Array): T | undefined => {
  try {
    return decode(bytes)
  } catch (error) {
    if (isHoldfastError(error, 'INVALID')) return undefined
    throw error
  }
}

const golden = JSON.parse(readFileSync(new URL('../fixtures/frames.json', import.meta.url), 'utf8')) as {
  readonly request: string
  readonly reply: string
}
const bytesOf = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'))
const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

const goldenRequest: RequestFrame = {
  partitions: 16,
  session: sessionId('Sx7'),
  low: 40,
  frame: 7,
  requests: [
    {
      kind: 'command',
      number: 41,
      type: 'cart',
      key: 'c/1',
      name: 'add',
      input: encodeValue({ sku: 'A', qty: 2 }),
      timeoutMs: 2_000,
      idempotencyKey: 'órder 7',
      bounds: undefined,
    },
    {
      kind: 'tell',
      number: 42,
      type: 'cart',
      key: 'é',
      name: 'expire',
      input: encodeValue(null),
      timeoutMs: 0,
      idempotencyKey: undefined,
      bounds: undefined,
    },
    {
      kind: 'query',
      number: 2 ** 40,
      type: 'cart',
      key: 'c1',
      name: 'total',
      input: encodeValue(undefined),
      timeoutMs: 90_000,
      idempotencyKey: undefined,
      bounds: { maxStalenessMs: 500, after: { generation: generation('g1'), seq: seq(12) } },
    },
    {
      kind: 'call',
      number: 43,
      type: 'cart',
      key: 'c1',
      name: 'add',
      input: encodeValue(1),
      timeoutMs: 1,
      idempotencyKey: 'k',
      bounds: undefined,
    },
  ],
}
const [owned, stale]: ReplyPosition[] = [
  { partition: partitionId(3), generation: generation('g1'), seq: seq(900), ageMs: undefined },
  { partition: partitionId(300), generation: generation('g2'), seq: seq(7), ageMs: 45 },
]
const goldenReply: ReplyFrame = {
  session: sessionId('Sx7'),
  replies: [
    {
      number: 40,
      kind: 'error',
      error: { code: 'OVERLOADED', message: 'try later', retryAfterMs: 250 },
      frame: 6,
      at: undefined,
    },
    { number: 41, kind: 'value', value: encodeValue(7), at: owned },
    { number: 42, kind: 'value', value: encodeValue(8), at: owned },
    { number: 43, kind: 'error', error: { code: 'INVALID', message: 'no', path: '$.sku' }, frame: 300, at: stale },
    { number: 44, kind: 'moved', owner: 'n-2' as NodeId, epoch: epoch(9), frame: 7 },
    { number: 45, kind: 'moved', owner: null, epoch: epoch(0), frame: 0 },
  ],
}

describe.each(codecs)('a $what', (codec) => {
  const { frames, encode, decode } = codec as {
    frames: fc.Arbitrary<RequestFrame | ReplyFrame>
    encode: (frame: RequestFrame | ReplyFrame) => Uint8Array
    decode: (bytes: Uint8Array) => RequestFrame | ReplyFrame
  }

  it('comes back as it was sent', () => {
    fc.assert(
      fc.property(frames, (frame) => {
        expect(decode(encode(frame))).toStrictEqual(frame)
      }),
    )
  })

  it('is INVALID wherever it is cut', () => {
    fc.assert(
      fc.property(frames, (frame) => {
        const bytes = encode(frame)
        for (let n = 0; n < bytes.length; n++) expect(decoded(decode, bytes.subarray(0, n))).toBeUndefined()
        expect(decoded(decode, Uint8Array.of(...bytes, 0))).toBeUndefined()
      }),
      { numRuns: 20 },
    )
  })

  it('with a flipped bit is INVALID or a whole frame of the same shape', () => {
    fc.assert(
      fc.property(frames, fc.nat(), fc.nat(7), (frame, at, bit) => {
        const bytes = encode(frame).slice()
        bytes[at % bytes.length]! ^= 1 << bit
        const read = decoded(decode, bytes)
        // What is accepted can be encoded and read again: nothing half-read comes through.
        if (read !== undefined) expect(decode(encode(read))).toStrictEqual(read)
        else expect(read).toBeUndefined()
      }),
      { numRuns: 2_000 },
    )
  })

  it('is INVALID or a whole frame, whatever the bytes and whatever the values in it', () => {
    const scalar = fc.oneof(
      number,
      fc.double(),
      text(),
      fc.constant(null),
      fc.uint8Array({ maxLength: 5 }),
      fc.bigInt(),
      fc.constant({}),
    )
    const fields = fc.array(fc.oneof(scalar, fc.array(scalar, { maxLength: 4 })), { maxLength: 12 })
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fields.map((flat) => {
        try {
          return writeValue([4, ...flat])
        } catch {
          return new Uint8Array(0)
        }
      }),
    )
    fc.assert(
      fc.property(bytes, (b) => {
        const read = decoded(decode, b)
        if (read !== undefined) expect(decode(encode(read))).toStrictEqual(read)
        else expect(read).toBeUndefined()
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('a request frame', () => {
  it('has these bytes (F1)', () => {
    expect(hexOf(encodeRequestFrame(goldenRequest))).toBe(golden.request)
    expect(decodeRequestFrame(bytesOf(golden.request))).toStrictEqual(goldenRequest)
  })

  it('rounds patience up to whole milliseconds', () => {
    const [request] = goldenRequest.requests
    const frame = { ...goldenRequest, requests: [{ ...request!, timeoutMs: 0.2 }] }
    expect(decodeRequestFrame(encodeRequestFrame(frame)).requests[0]!.timeoutMs).toBe(1)
  })

  it('is refused above the bound, and of another version (F1)', () => {
    const flat = (count: number) =>
      writeValue([
        4,
        16,
        's',
        0,
        1,
        new Uint8Array(0),
        ...Array.from({ length: count }, () => [0, 1, 't', 'k', 'n', 0, 1, null]).flat(),
      ])
    expect(decodeRequestFrame(flat(maxRequestsInFrame)).requests).toHaveLength(maxRequestsInFrame)
    expect(() => decodeRequestFrame(flat(maxRequestsInFrame + 1))).toThrow('bad number of fields')
    expect(() => decodeRequestFrame(writeValue([3, 16, 's', 0, 1, new Uint8Array(0)]))).toThrow('bad version')
    expect(() => decodeRequestFrame(writeValue({ 0: 1 }))).toThrow('bad shape')
  })

  const inputs = new Uint8Array(3)
  it.each<[string, unknown[]]>([
    ['an unknown kind', [4, 1, 't', 'k', 'n', 3, 1, null]],
    ['a kind by name', ['length', 1, 't', 'k', 'n', 3, 1, null]],
    ['a number below 0', [0, -1, 't', 'k', 'n', 3, 1, null]],
    ['a number that is not whole', [0, 1.5, 't', 'k', 'n', 3, 1, null]],
    ['a number that is not safe', [0, 2 ** 53, 't', 'k', 'n', 3, 1, null]],
    ['a bigint for a number', [0, 1n, 't', 'k', 'n', 3, 1, null]],
    ['a key that is not text', [0, 1, 't', 5, 'n', 3, 1, null]],
    ['an input that is not a length', [0, 1, 't', 'k', 'n', inputs, 1, null]],
    ['an input below 0', [0, 1, 't', 'k', 'n', -1, 1, null]],
    ['an input longer than the inputs', [0, 1, 't', 'k', 'n', 4, 1, null]],
    ['inputs longer than the input', [0, 1, 't', 'k', 'n', 2, 1, null]],
    ['a field too few', [0, 1, 't', 'k', 'n', 3, 1]],
    ['an idempotency key that is not text', [0, 1, 't', 'k', 'n', 3, 1, 7]],
    ['bounds that are too short', [2, 1, 't', 'k', 'n', 3, 1, []]],
    ['bounds that are too long', [2, 1, 't', 'k', 'n', 3, 1, [1, 'g', 1, 1]]],
    ['a staleness below 0', [2, 1, 't', 'k', 'n', 3, 1, [-1]]],
    ['bounds of no generation', [2, 1, 't', 'k', 'n', 3, 1, [1, '', 1]]],
    ['bounds of no sequence', [2, 1, 't', 'k', 'n', 3, 1, [1, 'g', null]]],
    ['an empty idempotency key', [0, 1, 't', 'k', 'n', 3, 1, '']],
    ['an idempotency key that is too long', [0, 1, 't', 'k', 'n', 3, 1, 'x'.repeat(maxIdempotencyKeyBytes + 1)]],
    ['an idempotency key that is too long in UTF-8', [0, 1, 't', 'k', 'n', 3, 1, `é${'x'.repeat(255)}`]],
  ])('is refused with %s', (_, request) => {
    const head = [4, 16, 's', 0, 1, inputs]
    expect(decoded(decodeRequestFrame, writeValue([...head, ...request]))).toBeUndefined()
  })

  it('is accepted with the parts that the cases above break', () => {
    const longest = `é${'x'.repeat(254)}`
    for (const key of [null, 'x', longest]) {
      const { requests } = decodeRequestFrame(writeValue([4, 16, 's', 0, 1, inputs, 3, 1, 't', 'k', 'n', 3, 1, key]))
      expect(requests[0]).toMatchObject({ kind: 'call', input: inputs, idempotencyKey: key ?? undefined })
    }
  })

  it('is refused without inputs, or with others than bytes', () => {
    for (const head of [
      [],
      ['s'],
      ['s', 0],
      ['s', 0, 1],
      ['s', 0, 1, 'inputs'],
      ['s', 0, 1, null],
      ['s', 0, -1, new Uint8Array(0)],
    ]) {
      expect(decoded(decodeRequestFrame, writeValue([4, 16, ...head]))).toBeUndefined()
    }
    expect(decodeRequestFrame(writeValue([4, 16, 's', 0, 1, new Uint8Array(0)])).requests).toStrictEqual([])
  })

  it('gives inputs that are views of its bytes, but for small ones (F2)', () => {
    const [golden] = goldenRequest.requests
    const inputs = [65, 64, 1].map((length) => new Uint8Array(length).fill(length))
    const bytes = encodeRequestFrame({ ...goldenRequest, requests: inputs.map((input) => ({ ...golden!, input })) })
    const { requests } = decodeRequestFrame(bytes)
    expect(requests.map(({ input }) => input)).toEqual(inputs)
    expect(requests.map(({ input }) => input.buffer === bytes.buffer)).toEqual([true, false, false])
  })
})

describe('a reply frame', () => {
  it('has these bytes (F1)', () => {
    expect(hexOf(encodeReplyFrame(goldenReply))).toBe(golden.reply)
    expect(decodeReplyFrame(bytesOf(golden.reply))).toStrictEqual(goldenReply)
  })

  it('carries any error that a handler threw, cut and made well-formed', () => {
    const error = {
      code: 'FAILED',
      message: `${'x'.repeat(maxErrorTextLength - 1)}🛒`,
      path: '$.\uD800',
      retryAfterMs: 0.5,
    } as const
    const { replies } = decodeReplyFrame(
      encodeReplyFrame({ ...goldenReply, replies: [{ number: 1, kind: 'error', error, frame: 7 }] }),
    )
    const message = `${'x'.repeat(maxErrorTextLength - 1)}\uFFFD`
    expect(replies).toStrictEqual([
      {
        number: 1,
        kind: 'error',
        error: { code: 'FAILED', message, path: '$.\uFFFD', retryAfterMs: 1 },
        frame: 7,
        at: undefined,
      },
    ])
  })

  const values = new Uint8Array(3)
  it.each<[string, unknown[]]>([
    ['an unknown kind', [1, 4, null]],
    ['a value that is not a length', [1, 0, values]],
    ['a value longer than the values', [1, 0, 4]],
    ['values longer than the value', [1, 0, 2]],
    ['a second value longer than what is left', [1, 0, 2, 2, 0, 2]],
  ])('is refused with %s', (_, reply) => {
    expect(decoded(decodeReplyFrame, writeValue([4, 's', values, ...reply]))).toBeUndefined()
  })

  it.each<[string, unknown[]]>([
    ['an unknown code', [1, 1, ['OTHER', 'message', null, null, 1]]],
    ['a code of a prototype', [1, 1, ['constructor', 'message', null, null, 1]]],
    ['an error without a message', [1, 1, ['INVALID']]],
    ['an error that is no array', [1, 1, { code: 'INVALID' }]],
    ['an error of no frame', [1, 1, ['INVALID', 'message', null, null]]],
    ['an error of a frame below 0', [1, 1, ['INVALID', 'message', null, null, -1]]],
    ['an owner that is no node id', [1, 2, ['a.b', 1, 1]]],
    ['a move of no frame', [1, 2, ['n1', 1]]],
    ['an owner that is missing', [1, 2, []]],
    ['an epoch below 0', [1, 2, ['n1', -1, 1]]],
    ['a position with a number', [1, 3, [0, 'g', 1]]],
    ['a position that is too short', [0, 3, [0, 'g']]],
    ['a position that is too long', [0, 3, [0, 'g', 1, 1, 1]]],
    ['a position of no generation', [0, 3, [0, 'g-1', 1]]],
    ['an age below 0', [0, 3, [0, 'g', 1, -1]]],
  ])('without a value is refused with %s', (_, reply) => {
    expect(decoded(decodeReplyFrame, writeValue([4, 's', new Uint8Array(0), ...reply]))).toBeUndefined()
  })

  it('is accepted with the parts that the cases above break', () => {
    const error = ['INVALID', 'message', null, null, 1]
    const frame = [4, 's', values, 1, 0, 1, 0, 3, [0, 'g', 1, 1], 2, 0, 2, 3, 1, error, 4, 2, ['n1', 1, 1]]
    expect(decodeReplyFrame(writeValue(frame)).replies.map((r) => r.kind)).toEqual(['value', 'value', 'error', 'moved'])
  })

  it('names a position once for all replies that share it (F5)', () => {
    const at = { ...owned! }
    const one = { number: 1, kind: 'value', value: new Uint8Array(0), at } as const
    const bytesOf = (replies: readonly Reply[]) => encodeReplyFrame({ session: sessionId('s'), replies }).length
    expect(bytesOf([one, one, one]) - bytesOf([one, one])).toBe(3)
    expect(bytesOf([one, { ...one, at: { ...at } }]) - bytesOf([one, one])).toBe(10)
  })

  it('is refused without values, or with others than bytes', () => {
    for (const head of [[], ['s'], ['s', 'values'], ['s', null]]) {
      expect(decoded(decodeReplyFrame, writeValue([4, ...head]))).toBeUndefined()
    }
    expect(decodeReplyFrame(writeValue([4, 's', new Uint8Array(0)])).replies).toStrictEqual([])
  })
})
