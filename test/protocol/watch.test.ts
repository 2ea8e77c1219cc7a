import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isHoldfastError } from '../../src/protocol/errors.ts'
import {
  decodePageMessage,
  decodeWatchRequest,
  encodePageEnd,
  encodePageError,
  encodeWatchRequest,
} from '../../src/protocol/watch.ts'

/** Marks of a change. */
const unmarked = { deleted: false, reset: false, omitted: false }

const bytes = (json: unknown) => Buffer.from(JSON.stringify(json))

const invalid = (run: () => unknown, of: string) =>
  expect(run, of).toThrow(expect.objectContaining({ code: 'INVALID' }))

describe('a request for a page', () => {
  it.each([
    { from: 'start' },
    { from: 'now', type: 'cart', limit: 1 },
    { from: '3-gen-17-0', type: 'cart', key: 'c1', limit: 1_000 },
  ])('%o is read as it was written', (request) => {
    const { from, type, key, limit } = decodeWatchRequest(encodeWatchRequest(request))
    expect({ from, type, key, limit }).toMatchObject(request)
  })

  it.each([
    {},
    { from: 5 },
    { from: 'then' },
    { from: '3-gen-17' },
    { from: 'now', type: '' },
    { from: 'now', type: 5 },
    { from: 'now', key: 'c1' },
    { from: 'now', type: 'cart', key: '' },
    { from: 'now', limit: 0 },
    { from: 'now', limit: 1_001 },
    { from: 'now', limit: '5' },
    { from: 'now', limit: 1.5 },
    [],
    null,
    7,
  ])('%o is none', (json) => {
    invalid(() => decodeWatchRequest(bytes(json)), JSON.stringify(json))
  })
})

describe('a message of a page', () => {
  it('is a change, as it was published', () => {
    const change = { type: 'cart', key: 'c1', rev: 3, state: { n: 1 }, cursor: '3-gen-17-0', at: 1_700_000_000_000.5 }
    expect(decodePageMessage(bytes(change))).toEqual({
      kind: 'change',
      ...change,
      ...unmarked,
    })
    const { state: _state, ...without } = change
    expect(decodePageMessage(bytes({ ...without, omitted: true }))).toEqual({
      kind: 'change',
      ...change,
      state: null,
      ...unmarked,
      omitted: true,
    })
  })

  it('is an end', () => {
    const end = { next: '3-gen-17-0', head: '3-gen-19-4', more: true, count: 7 }
    expect(decodePageMessage(encodePageEnd(end))).toEqual({ kind: 'end', ...end })
  })

  it('is an error', () => {
    expect(decodePageMessage(encodePageError('RETRY', 'not the owner'))).toEqual({
      kind: 'error',
      code: 'RETRY',
      message: 'not the owner',
    })
  })

  it.each([
    { end: true, next: 'a', head: 'b', more: false },
    { end: true, next: 5, head: 'b', more: false, count: 0 },
    { end: true, next: 'a', head: 'b', more: false, count: -1 },
    { error: null },
    { error: { code: 'NO_SUCH', message: 'x' } },
    { error: { code: 'RETRY' } },
    { type: 'cart', key: 'c1', rev: -1, state: null, cursor: 'c', at: 1 },
    { type: 'cart', key: 'c1', rev: 1, state: null, cursor: 'c' },
    { type: 'cart', rev: 1, state: null, cursor: 'c', at: 1 },
    [],
    null,
    'end',
  ])('is not %o', (json) => {
    invalid(() => decodePageMessage(bytes(json)), JSON.stringify(json))
  })

  it('is never anything but a message or INVALID, whatever the bytes', () => {
    const hostile = fc.oneof(
      fc.uint8Array(),
      fc.json().map((text) => Buffer.from(text)),
    )
    const outcome = (decode: (data: Uint8Array) => unknown, data: Uint8Array) => {
      try {
        return typeof decode(data)
      } catch (error) {
        return isHoldfastError(error, 'INVALID') ? 'INVALID' : error
      }
    }
    fc.assert(
      fc.property(hostile, (data) => {
        for (const decode of [decodePageMessage, decodeWatchRequest])
          expect(['object', 'INVALID']).toContain(outcome(decode, data))
      }),
    )
  })
})
