import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatCommandId, parseCommandId } from '../../src/client/command-id.ts'
import { Outstanding } from '../../src/client/outstanding.ts'
import { Pending } from '../../src/client/pending.ts'
import { formatVector, parseVector } from '../../src/client/watch-cursor.ts'
import type { RequestKind } from '../../src/protocol/frames.ts'
import { sessionId } from '../../src/protocol/ids.ts'

const nobody = { resolve() {}, reject() {} }
const pendingOf = (kind: RequestKind, number: number, input = new Uint8Array()) =>
  new Pending(kind, sessionId('s'), number, { type: 't', key: 'k', hash: 0 }, 'do', input, 0, 1_000, nobody)

const invalid = (run: () => unknown) => expect(run).toThrow(expect.objectContaining({ code: 'INVALID' }))

describe('outstanding requests', () => {
  it('have a lowest number that never goes back and passes nothing that owners must keep (N2, N3)', () => {
    const step = fc.record({
      what: fc.constantFrom('command', 'tell', 'query', 'settle', 'unknown', 'repeat', 'wait'),
      at: fc.nat(),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const outstanding = new Outstanding(1_000)
        const open: Pending[] = []
        const kept = new Map<number, number>()
        let nowMs = 0
        let last = 0
        let low = 1
        for (const { what, at } of steps) {
          const chosen = open.length === 0 ? undefined : open[at % open.length]
          if (what === 'wait') nowMs += at % 40_000
          else if (what === 'settle' || what === 'unknown') {
            if (chosen === undefined) continue
            open.splice(open.indexOf(chosen), 1)
            outstanding.remove(chosen)
            if (what === 'unknown' && chosen.kind !== 'query') {
              outstanding.keep(chosen.number, nowMs)
              kept.set(chosen.number, nowMs)
            }
          } else if (what === 'repeat') {
            const [number] = [...kept.keys()]
            if (number === undefined) continue
            const sentMs = outstanding.takeKept(number, nowMs)
            expect(sentMs).toBe(nowMs - kept.get(number)! <= 90_000 ? kept.get(number) : undefined)
            kept.delete(number)
            if (sentMs === undefined) continue
            const again = pendingOf('command', number)
            outstanding.add(again)
            open.push(again)
          } else {
            const number = outstanding.number()
            expect(number).toBe(++last)
            const pending = pendingOf(what, number)
            outstanding.add(pending)
            open.push(pending)
          }
          const held = [
            ...open.filter(({ kind }) => kind !== 'query').map(({ number }) => number),
            ...[...kept].filter(([, sentMs]) => nowMs - sentMs <= 90_000).map(([number]) => number),
          ]
          const expected = Math.min(last + 1, ...held)
          expect(outstanding.low(nowMs)).toBe(expected)
          expect(expected).toBeGreaterThanOrEqual(low)
          low = expected
          expect([...outstanding.all()].map(({ number }) => number).toSorted()).toEqual(
            open.map(({ number }) => number).toSorted(),
          )
          expect(outstanding.size).toBe(open.length)
        }
      }),
    )
  })

  it('have no room past the bound, nor for commands while owners would have to remember too many (N4)', () => {
    const outstanding = new Outstanding(2)
    outstanding.add(pendingOf('command', outstanding.number()))
    expect(outstanding.hasRoom('command')).toBe(true)
    const query = pendingOf('query', outstanding.number())
    outstanding.add(query)
    expect([outstanding.hasRoom('command'), outstanding.hasRoom('query')]).toEqual([false, false])
    outstanding.remove(query)
    for (let i = 0; i < 1_048_576; i++) outstanding.number()
    expect([outstanding.hasRoom('command'), outstanding.hasRoom('query')]).toEqual([false, true])
  })

  it('have no room past the bound of their inputs, and get it back, each once (N4)', () => {
    const outstanding = new Outstanding(100, 1_000)
    const first = pendingOf('command', outstanding.number(), new Uint8Array(600))
    outstanding.add(first)
    expect([400, 401].map((bytes) => outstanding.hasRoom('query', bytes))).toEqual([true, false])
    const foreign = pendingOf('command', 1, new Uint8Array(400))
    outstanding.addForeign('x', foreign)
    expect(outstanding.hasRoom('command', 1)).toBe(false)
    outstanding.remove(first)
    outstanding.remove(first)
    outstanding.removeForeign('x', foreign)
    outstanding.removeForeign('x', foreign)
    const bytes = outstanding.metrics().find(({ name }) => name === 'holdfast_client_request_bytes')
    expect(bytes).toMatchObject({ value: 0, limit: 1_000 })
  })

  it('give up an UNKNOWN number rather than room for new ones (N3)', () => {
    const outstanding = new Outstanding(10)
    outstanding.keep(outstanding.number(), 0)
    for (let i = 0; i < 600_000; i++) outstanding.number()
    expect(outstanding.low(0)).toBe(600_002)
    expect(outstanding.takeKept(1, 0)).toBeUndefined()
  })

  it('keep no more UNKNOWN numbers than may be outstanding (N3)', () => {
    const outstanding = new Outstanding(3)
    for (let i = 0; i < 5; i++) outstanding.keep(outstanding.number(), 0)
    expect([1, 2, 3, 4, 5].map((number) => outstanding.takeKept(number, 0) !== undefined)).toEqual([
      false,
      false,
      true,
      true,
      true,
    ])
  })
})

describe('the id of a command', () => {
  it.each([
    ['abc123:7', { session: 'abc123', number: 7 }],
    ['order-17', { session: 'x-order-17', number: 1 }],
    ['x-y:9007199254740991', { session: 'x-y', number: 9_007_199_254_740_991 }],
  ])('%s is read and written as it is (I1, I2)', (text, id) => {
    expect(parseCommandId(text)).toEqual(id)
    expect(formatCommandId(parseCommandId(text))).toBe(text)
  })

  it.each([
    '',
    ':',
    'a:',
    ':1',
    'a:0',
    'a:01',
    'a:1.5',
    'a:-1',
    'a:9007199254740993',
    'a b',
    'a.b',
    'ü',
    'x'.repeat(65),
    7,
    null,
    undefined,
  ])('is not %s', (text) => invalid(() => parseCommandId(text as string)))
})

describe('the cursor of a type', () => {
  const positions = ['0-gen-5-2', 'start', '2-gen-0-0', '3-gen-7-2147483647']

  it('is opaque and comes back as it was (X1)', () => {
    expect(formatVector(positions)).toMatch(/^[A-Za-z0-9_-]+$/)
    expect(parseVector(formatVector(positions))).toEqual(positions)
  })

  it('is nothing else', () => {
    const texts = [
      '',
      '!',
      'start',
      formatVector(['1-gen-5-2']),
      formatVector(['0-gen-5-2', '0-gen-5-2']),
      formatVector(['0-gen-5-2', '']),
    ]
    for (const text of [
      ...texts,
      formatVector(Array.from({ length: 513 }, () => 'start')),
      `${formatVector(positions)}=`,
    ]) {
      invalid(() => parseVector(text))
    }
  })
})
