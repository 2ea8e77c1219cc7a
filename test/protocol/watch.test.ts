import { readFileSync } from 'node:fs'
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
    { from: 'start', type: 'cart', prefix: 'eu/' },
    { from: 'state', type: 'cart', prefix: 'eu/', limit: 5 },
    { from: 'state', type: 'cart', snapshot: '4-1' },
    { from: 'state', type: 'cart', snapshot: '4-1', after: 'eu/b', limit: 5 },
    { from: 'state', type: 'cart', snapshot: '4-1', done: true as const },
  ])('%o is read as it was written', (request) => {
    const read = decodeWatchRequest(encodeWatchRequest(request))
    expect(JSON.parse(JSON.stringify(read))).toEqual(request)
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
    { from: 'now', prefix: 'eu/' },
    { from: 'now', type: 'cart', prefix: '' },
    { from: 'now', type: 'cart', prefix: 5 },
    { from: 'now', type: 'cart', prefix: null },
    { from: 'now', type: 'cart', prefix: 'x'.repeat(513) },
    { from: 'now', type: 'cart', prefix: 'c', key: 'c1' },
    { from: 'state' },
    { from: 'state', key: 'c1' },
    { from: 'now', type: 'cart', snapshot: '4-1' },
    { from: 'state', type: 'cart', snapshot: 4 },
    { from: 'state', type: 'cart', snapshot: 'x'.repeat(513) },
    { from: 'state', type: 'cart', after: 'c1' },
    { from: 'state', type: 'cart', snapshot: '4-1', after: '' },
    { from: 'state', type: 'cart', snapshot: '4-1', done: false },
    { from: 'state', type: 'cart', done: true },
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
    const ofStates = { ...end, snapshot: '4-1', after: 'eu/b' }
    expect(decodePageMessage(encodePageEnd(ofStates))).toEqual({ kind: 'end', ...ofStates })
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
    { end: true, next: 'a', head: 'b', more: false, count: 0, snapshot: 5 },
    { end: true, next: 'a', head: 'b', more: false, count: 0, snapshot: 'a', after: null },
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

describe('the golden watches', () => {
  const golden = JSON.parse(readFileSync(new URL('../fixtures/watches.json', import.meta.url), 'utf8')) as Record<
    'requests' | 'ends' | 'errors' | 'changes',
    Record<string, string>
  >
  const read = (text: string) => Buffer.from(text)

  it('are read and written as ever: what other languages send and hear', () => {
    for (const [name, text] of Object.entries(golden.requests))
      expect(Buffer.from(encodeWatchRequest(decodeWatchRequest(read(text)))).toString(), name).toBe(text)
    for (const [name, text] of Object.entries(golden.ends)) {
      const end = decodePageMessage(read(text))
      expect(end.kind === 'end' && Buffer.from(encodePageEnd(end)).toString(), name).toBe(text)
    }
    for (const [name, text] of Object.entries(golden.errors)) {
      const error = decodePageMessage(read(text))
      expect(error.kind === 'error' && Buffer.from(encodePageError(error.code, error.message)).toString(), name).toBe(
        text,
      )
    }
  })

  it('have changes with each mark', () => {
    const marks = Object.fromEntries(
      Object.entries(golden.changes).map(([name, text]) => {
        const change = decodePageMessage(read(text))
        return [name, change.kind === 'change' && [change.state, change.deleted, change.reset, change.omitted]]
      }),
    )
    expect(marks).toEqual({
      change: [{ paid: false }, false, false, false],
      deletion: [null, true, false, false],
      null: [null, false, false, false],
      omitted: [null, false, false, true],
      reset: [{ paid: true }, false, true, false],
      absent: [null, true, true, false],
    })
  })
})
