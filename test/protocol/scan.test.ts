import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { errorCodes, isHoldfastError } from '../../src/protocol/errors.ts'
import { generation, rev, seq } from '../../src/protocol/ids.ts'
import {
  decodeScanReply,
  decodeScanRequest,
  encodeScanError,
  encodeScanPage,
  encodeScanRequest,
  maxScanRows,
  type ScanPage,
  type ScanRequest,
} from '../../src/protocol/scan.ts'
import { encodeValue } from '../../src/protocol/values.ts'
import { writeValue } from '../../src/protocol/value-bytes.ts'
import { name, text } from './arbitraries.ts'

const plain = { noNullPrototype: true } as const
const bound = fc.option(text({ maxLength: 40 }).filter(isWellFormed), { nil: undefined })

function isWellFormed(value: string): boolean {
  return !/\p{Surrogate}/u.test(value)
}

const request: fc.Arbitrary<ScanRequest> = fc.record(
  {
    kind: fc.constantFrom('rows', 'count', 'open', 'close'),
    type: name,
    from: bound,
    to: bound,
    prefix: bound,
    after: bound,
    reverse: fc.boolean(),
    limit: fc.integer({ min: 1, max: maxScanRows }),
    snapshot: bound,
  },
  plain,
)

const rows = fc.array(
  fc.record(
    {
      key: name,
      rev: fc.maxSafeNat().map(rev),
      state: fc.uint8Array({ maxLength: 300 }),
      expiresAt: fc.option(fc.maxSafeNat()),
    },
    plain,
  ),
  { maxLength: 5 },
)
const page: fc.Arbitrary<ScanPage> = fc
  .tuple(rows, fc.boolean(), fc.option(name), fc.option(text({ maxLength: 20 }).filter(isWellFormed)), fc.maxSafeNat())
  .map(([found, more, last, snapshot, at]) => ({
    kind: 'page',
    generation: generation('g'),
    seq: seq(at),
    more,
    last,
    count: found.length === 0 ? 7 : found.length,
    snapshot,
    rows: found,
  }))

const golden = JSON.parse(readFileSync(new URL('../fixtures/scans.json', import.meta.url), 'utf8')) as Record<
  'request' | 'page' | 'error',
  string
>
const bytesOf = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'))
const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

const goldenRequest: ScanRequest = {
  kind: 'rows',
  type: 'kv-users',
  from: 'a',
  to: 'ключ',
  prefix: undefined,
  after: 'b/1',
  reverse: true,
  limit: 256,
  snapshot: '7-1',
}
const goldenPage: ScanPage = {
  kind: 'page',
  generation: generation('4M6njwcYFYMftDXR9T9lZn'),
  seq: seq(9),
  more: true,
  last: 'b/3',
  count: 2,
  snapshot: null,
  rows: [
    { key: 'b/2', rev: rev(1), state: encodeValue({ paid: false }), expiresAt: null },
    { key: 'b/3', rev: rev(70_000), state: encodeValue(null), expiresAt: 1_795_350_823_658 },
  ],
}

const outcome = <T>(decode: () => T): T | 'INVALID' => {
  try {
    return decode()
  } catch (error) {
    if (isHoldfastError(error, 'INVALID')) return 'INVALID'
    throw error
  }
}

describe('a scan on the wire', () => {
  it('comes back as it was sent', () => {
    fc.assert(
      fc.property(request, (sent) => {
        expect(decodeScanRequest(encodeScanRequest(sent))).toEqual(sent)
      }),
    )
    fc.assert(
      fc.property(page, (sent) => {
        const received = decodeScanReply(encodeScanPage(sent)) as ScanPage
        expect({ ...received, rows: received.rows.map((row) => ({ ...row, state: [...row.state] })) }).toEqual({
          ...sent,
          rows: sent.rows.map((row) => ({ ...row, state: [...row.state] })),
        })
      }),
    )
    for (const code of errorCodes) {
      expect(decodeScanReply(encodeScanError(code, 'why'))).toEqual({ kind: 'error', code, message: 'why' })
    }
  })

  it('has the same bytes as ever', () => {
    expect(hexOf(encodeScanRequest(goldenRequest))).toBe(golden.request)
    expect(hexOf(encodeScanPage(goldenPage))).toBe(golden.page)
    expect(hexOf(encodeScanError('RETRY', 'ask again'))).toBe(golden.error)
    expect(decodeScanRequest(bytesOf(golden.request))).toEqual(goldenRequest)
    expect(decodeScanReply(bytesOf(golden.page))).toEqual(goldenPage)
  })

  it('is INVALID where it is anything else, and never worse (N5)', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(outcome(() => decodeScanRequest(bytes))).toBe('INVALID')
        expect(outcome(() => decodeScanReply(bytes))).toBe('INVALID')
      }),
    )
    for (const [hex, decode] of [
      [golden.request, decodeScanRequest],
      [golden.page, decodeScanReply],
      [golden.error, decodeScanReply],
    ] as const) {
      const bytes = bytesOf(hex)
      for (let cut = 0; cut < bytes.length; cut++) expect(outcome(() => decode(bytes.subarray(0, cut)))).toBe('INVALID')
      for (let at = 0; at < bytes.length; at++) {
        for (const bit of [1, 16, 128]) {
          const changed = bytes.slice()
          changed[at]! ^= bit
          outcome(() => decode(changed))
        }
      }
    }
  })

  it.each([
    ['another version', [2, 0, 't', null, null, null, null, false, 1, null]],
    ['an unknown kind', [1, 4, 't', null, null, null, null, false, 1, null]],
    ['a type that is empty', [1, 0, '', null, null, null, null, false, 1, null]],
    ['a type that is no text', [1, 0, 5, null, null, null, null, false, 1, null]],
    ['a bound that is no text', [1, 0, 't', 5, null, null, null, false, 1, null]],
    ['a bound that is longer than any key', [1, 0, 't', 'ä'.repeat(257), null, null, null, false, 1, null]],
    ['a direction that is no flag', [1, 0, 't', null, null, null, null, 1, 1, null]],
    ['no limit', [1, 0, 't', null, null, null, null, false, 0, null]],
    ['a limit above the bound', [1, 0, 't', null, null, null, null, false, maxScanRows + 1, null]],
    ['a field too few', [1, 0, 't', null, null, null, null, false, 1]],
    ['a field too many', [1, 0, 't', null, null, null, null, false, 1, null, null]],
  ])('refuses a request with %s', (_, fields) => {
    expect(outcome(() => decodeScanRequest(writeValue(fields)))).toBe('INVALID')
  })

  const none = new Uint8Array(0)
  it.each([
    ['another version', [2, 0, 'g', 1, false, null, 0, null, none]],
    ['an unknown kind', [1, 2, 'g', 1, false, null, 0, null, none]],
    ['an unknown error', [1, 1, 'OOPS', 'why']],
    ['an error without a sentence', [1, 1, 'RETRY']],
    ['states that are no bytes', [1, 0, 'g', 1, false, null, 0, null, 'x']],
    ['a state beyond its bytes', [1, 0, 'g', 1, false, null, 1, null, none, 'k', 1, 1, null]],
    ['bytes of no state', [1, 0, 'g', 1, false, null, 1, null, new Uint8Array(2), 'k', 1, 1, null]],
    ['half a row', [1, 0, 'g', 1, false, null, 1, null, none, 'k', 1]],
    ['a rev that is none', [1, 0, 'g', 1, false, null, 1, null, none, 'k', -1, 0, null]],
    ['an expiry that is none', [1, 0, 'g', 1, false, null, 1, null, none, 'k', 1, 0, 0.5]],
    ['a count of other rows', [1, 0, 'g', 1, false, null, 2, null, none, 'k', 1, 0, null]],
  ])('refuses a reply with %s', (_, fields) => {
    expect(outcome(() => decodeScanReply(writeValue(fields)))).toBe('INVALID')
  })
})
