import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkHeaders, checkSubject } from '../../src/adapters/nats/message-check.ts'
import type { Output } from '../../src/behaviour/task.ts'
import { decodeRecord, encodeRecord, type OutputRecord } from '../../src/protocol/record.ts'
import { outputRecord } from '../../src/task/outputs.ts'
import { text } from '../protocol/arbitraries.ts'
import { bareCommit } from '../protocol/bare-commit.ts'

const rules = { cluster: 'shop', streams: true, maxPayload: 1_000 }
const made = (output: Output) => outputRecord(output, 'id-1', rules)

/** Headers in pairs, so that none hides as a prototype; data as numbers, whatever holds them. */
const plain = ({ subject, data, headers }: OutputRecord) => ({
  subject,
  data: [...data],
  headers: Object.entries(headers),
})

describe('an output, as it goes into a record', () => {
  it('has the JSON form of its value, its headers and its id (O2)', () => {
    const { subject, data, headers } = made({
      subject: 'out.a',
      value: { at: new Date(0), n: 5n },
      headers: { A: 'ä' },
    })
    expect(subject).toBe('out.a')
    expect(Buffer.from(data).toString()).toBe('{"at":{"$date":"1970-01-01T00:00:00.000Z"},"n":{"$bigint":"5"}}')
    expect(headers).toEqual({ A: 'ä', 'Nats-Msg-Id': 'id-1' })
  })

  it('has bytes as they were when it was sent', () => {
    const value = Uint8Array.of(1, 2)
    const { data } = made({ subject: 'out', value })
    value[0] = 9
    expect(data).toEqual(Uint8Array.of(1, 2))
  })

  it('names the stream that has to store it', () => {
    expect(made({ subject: 'out', value: 1, stream: 'OUT' }).headers).toEqual({
      'Nats-Msg-Id': 'id-1',
      'Nats-Expected-Stream': 'OUT',
    })
  })

  it.each(['shop.out', 'shop', 'shopping.log.0', 'out.shop.log', '$KV.a.b'])('may go to %s', (subject) => {
    expect(made({ subject, value: 1 }).subject).toBe(subject)
  })

  it('may go to a subject of as many bytes as a message can', () => {
    for (const subject of ['x'.repeat(1_024), 'ö'.repeat(341)]) {
      expect(made({ subject, value: 1 }).subject).toBe(subject)
      checkSubject(subject, 'subject')
    }
  })

  const wrong: readonly [unknown, string][] = [
    [undefined, 'send { subject, value }'],
    [{ value: 1 }, 'the subject of an output is tokens'],
    [{ subject: '', value: 1 }, 'the subject of an output is tokens'],
    [{ subject: 'a.*', value: 1 }, 'the subject of an output is tokens'],
    [{ subject: 'a b', value: 1 }, 'the subject of an output is tokens'],
    [{ subject: 'a.\ud800', value: 1 }, 'the subject of an output is tokens'],
    [{ subject: 'x'.repeat(1_025), value: 1 }, 'the subject of an output is tokens'],
    [{ subject: 'ö'.repeat(342), value: 1 }, 'the subject of an output is tokens'],
    [{ subject: '🛒'.repeat(171), value: 1 }, 'the subject of an output is tokens'],
    [{ subject: 'shop.log.0', value: 1 }, "are the cluster's or the server's own"],
    [{ subject: 'shop.p.1', value: 1 }, "are the cluster's or the server's own"],
    [{ subject: '$JS.API.STREAM.DELETE.A', value: 1 }, "are the cluster's or the server's own"],
    [{ subject: 'out', value: undefined }, 'an output needs a value'],
    [{ subject: 'out' }, 'an output needs a value'],
    [{ subject: 'out', value: () => 1 }, 'a function is not a value'],
    [{ subject: 'out', value: { a: [Number.NaN] } }, '$.a[0]'],
    [{ subject: 'out', value: 'x'.repeat(990) }, 'and a message has at most 1000'],
    [{ subject: 'out', value: 1, stream: '' }, 'stream is a name'],
    [{ subject: 'out', value: 1, stream: 'OUT\r\nX: y' }, 'stream is a name'],
    [{ subject: 'out', value: 1, stream: 'OUT\udfff' }, 'stream is a name'],
    [{ subject: 'out', value: 1, headers: { 'nats-msg-id': 'mine' } }, 'cannot have the header'],
    [{ subject: 'out', value: 1, headers: { 'Nats-Expected-Last-Sequence': '0' } }, 'cannot have the header'],
    [{ subject: 'out', value: 1, headers: { 'a b': 'x' } }, 'cannot have the header'],
    [{ subject: 'out', value: 1, headers: { ['__proto__']: 'x' } }, 'cannot have the header "__proto__"'],
    [{ subject: 'out', value: 1, headers: { a: 'x\r\ny' } }, 'without line breaks'],
    [{ subject: 'out', value: 1, headers: { a: 'x\udc00y' } }, 'without line breaks'],
    [{ subject: 'out', value: 1, headers: { a: 5 } }, 'without line breaks'],
  ]
  it.each(wrong)('is refused where it is sent (%#, O1)', (output, why) => {
    expect(() => made(output as Output)).toThrow(why)
    expect(() => made(output as Output)).toThrow(expect.objectContaining({ code: 'INVALID' }) as Error)
  })

  it('that is not refused is in its record what it was, and can be published', () => {
    const broken = fc.string({ unit: fc.constantFrom('a', 'ö', '.', '\ud800', '\udc00') })
    const any = fc.oneof({ weight: 4, arbitrary: text({ maxLength: 20 }) }, { weight: 1, arbitrary: broken })
    const token = fc.string({ unit: fc.constantFrom('a', 'ö', '🛒'), minLength: 1, maxLength: 250, size: 'max' })
    const subject = fc.array(token, { minLength: 1, maxLength: 3 }).map((tokens) => tokens.join('.'))
    const name = fc.oneof(fc.constantFrom('__proto__', 'constructor', 'A', 'b-c'), fc.stringMatching(/^[!-~]{1,5}$/))
    const given = fc.record({
      subject: fc.oneof({ weight: 4, arbitrary: subject }, { weight: 1, arbitrary: any }),
      value: fc.oneof(any, fc.uint8Array()),
      headers: fc.array(fc.tuple(name, any), { maxLength: 2 }).map((pairs) => Object.fromEntries(pairs)),
      stream: fc.oneof(fc.constantFrom(undefined, 'OUT', 'Ö'), any),
    })
    let sent = 0
    fc.assert(
      fc.property(given, ({ stream, ...rest }) => {
        let output: OutputRecord
        try {
          output = made({ ...rest, ...(stream === undefined ? {} : { stream }) })
        } catch (error) {
          expect(error).toMatchObject({ code: 'INVALID' })
          return
        }
        sent++
        const back = decodeRecord(encodeRecord({ ...bareCommit, outputs: [output] }))
        const [read] = back.kind === 'commit' ? back.outputs : []
        expect(plain(read!)).toEqual(plain(output))
        checkSubject(output.subject, 'subject')
        checkHeaders(output.headers)
      }),
      { numRuns: 3_000 },
    )
    expect(sent).toBeGreaterThan(500)
  })

  it('for a stream is refused where there are none (O1)', () => {
    const output = { subject: 'out', value: 1, stream: 'OUT' }
    expect(() => outputRecord(output, 'id', { ...rules, streams: false })).toThrow('there are no streams here')
  })
})
