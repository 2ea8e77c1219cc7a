import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  decodeTraces,
  encodeTraces,
  formatTraceparent,
  parseTraceparent,
  traceBytes,
} from '../../src/protocol/traces.ts'
import { maxRequestsInFrame } from '../../src/protocol/frames.ts'

const [a, b] = [
  '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00',
]

const hex = (length: number) =>
  fc
    .array(fc.constantFrom(...'0123456789abcdef'.split('')), { minLength: length, maxLength: length })
    .map((digits) => digits.join(''))
    .filter((text) => /[^0]/.test(text))
const traceparents = fc
  .record({ traceId: hex(32), spanId: hex(16), flags: fc.integer({ min: 0, max: 255 }) })
  .map(formatTraceparent)

describe('a traceparent', () => {
  it('is read and written as W3C has it', () => {
    expect(parseTraceparent(a)).toEqual({
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
      flags: 1,
    })
    fc.assert(
      fc.property(traceparents, (text) => {
        expect(formatTraceparent(parseTraceparent(text)!)).toBe(text)
      }),
    )
  })

  it('may be of a later version, which may say more', () => {
    expect(parseTraceparent(`cc${a.slice(2)}-more`)?.spanId).toBe('b7ad6b7169203331')
  })

  it.each([
    ['nothing', ''],
    ['of the version that there is not', `ff${a.slice(2)}`],
    ['in capitals', a.toUpperCase()],
    ['too short', a.slice(1)],
    ['too long', `${a}0`],
    ['of two lines', `${a}\n`],
    ['of no trace', '00-00000000000000000000000000000000-b7ad6b7169203331-01'],
    ['of no span', '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01'],
    ['endless', `${a}-${'x'.repeat(1_000_000)}`],
  ])('is none that is %s', (_, text) => {
    expect(parseTraceparent(text)).toBeUndefined()
  })
})

describe('the header of a frame', () => {
  it('has these golden bytes', () => {
    expect(encodeTraces([undefined, a, undefined, b])).toBe(`1:${a},3:${b}`)
    expect(encodeTraces([undefined, undefined])).toBe('-')
    expect(encodeTraces([])).toBe('-')
  })

  it('comes back as it was sent', () => {
    const frames = fc.array(fc.option(traceparents, { nil: undefined }), { minLength: 1, maxLength: 40 })
    fc.assert(
      fc.property(frames, (sent) => {
        const traces = decodeTraces(encodeTraces(sent), sent.length)
        expect(sent.map((_, i) => traces.get(i))).toEqual(sent)
        expect(traces.size).toBe(sent.filter((each) => each !== undefined).length)
      }),
    )
  })

  it('takes at most as much of each request as is counted for it', () => {
    const full = encodeTraces(new Array<string>(maxRequestsInFrame).fill(a))
    expect(full.length).toBeLessThanOrEqual(maxRequestsInFrame * traceBytes)
    expect(decodeTraces(full, maxRequestsInFrame).size).toBe(maxRequestsInFrame)
  })

  it.each([
    ['nothing', ''],
    ['no index', a],
    ['an index that is no number', `x:${a}`],
    ['an index of no request', `2:${a}`],
    ['an index with a zero before it', `01:${a}`],
    ['an index twice', `0:${a},0:${b}`],
    ['a falling index', `1:${a},0:${b}`],
    ['no traceparent', '0:'],
    ['one that is none', `0:${'x'.repeat(55)}`],
    ['a comma at its end', `0:${a},`],
    ['far too much', `0:${a}${' '.repeat(1_000_000)}`],
  ])('names none where it has %s (A3)', (_, header) => {
    expect(decodeTraces(header, 2).size).toBe(0)
  })

  it('never throws', () => {
    const text = fc.oneof(
      fc.string(),
      fc.array(fc.constantFrom('0', ':', ',', '-', a, b), { maxLength: 12 }).map((parts) => parts.join('')),
    )
    fc.assert(
      fc.property(text, fc.integer({ min: 0, max: 5 }), (header, count) => {
        expect(decodeTraces(header, count).size).toBeLessThanOrEqual(count)
      }),
    )
  })
})
