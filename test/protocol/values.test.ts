import { readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { addExtension, pack, unpack } from 'msgpackr'
import { describe, expect, it } from 'vitest'
import { isHoldfastError, type HoldfastError } from '../../src/protocol/errors.ts'
import { decodeValue, encodeValue, fromJson, toJson, type Value } from '../../src/protocol/values.ts'
import { readValue } from '../../src/protocol/value-bytes.ts'
import { value } from './arbitraries.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const bytesOf = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'))

/** Also where a key is `constructor`, which `toStrictEqual` takes for the class. */
const same = isDeepStrictEqual

const refusal = (run: () => unknown): HoldfastError => {
  try {
    run()
  } catch (error) {
    if (isHoldfastError(error, 'INVALID')) return error
    throw error
  }
  throw new Error('it was accepted')
}

describe('a value', () => {
  it('comes back equal from its bytes, and gives the same bytes again (V1, V2)', () => {
    fc.assert(
      fc.property(value, (v) => {
        const bytes = encodeValue(v)
        const copy = decodeValue(bytes)
        expect(same(copy, v)).toBe(true)
        expect(hex(encodeValue(copy))).toBe(hex(bytes))
      }),
      { numRuns: 500 },
    )
  })

  it('comes back equal from its JSON form, through text (V1)', () => {
    fc.assert(
      fc.property(value, (v) => {
        expect(same(fromJson(JSON.parse(JSON.stringify(toJson(v)))), v)).toBe(true)
      }),
      { numRuns: 500 },
    )
  })

  it('comes back equal at each length where the head changes', () => {
    for (const n of [0, 1, 15, 16, 23, 24, 25, 31, 32, 255, 256, 65_535, 65_536, 70_000]) {
      const values: Value[] = [
        'x'.repeat(n),
        'é'.repeat(n),
        new Uint8Array(n).fill(7),
        new Array<number>(n).fill(1),
        Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, i])),
        { ['k'.repeat(n)]: 1 },
      ]
      for (const v of values) expect(decodeValue(encodeValue(v))).toStrictEqual(v)
    }
  })

  it('is counted without its undefined properties, wherever its head changes (V5)', () => {
    for (const n of [15, 16, 17, 65_536]) {
      const some = Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, i % 2 === 0 ? i : undefined]))
      const defined = Object.fromEntries(Object.entries(some).filter(([, v]) => v !== undefined))
      expect(decodeValue(encodeValue(some))).toStrictEqual(defined)
    }
  })

  it('keeps the order of its keys (V2)', () => {
    expect(Object.keys(decodeValue(encodeValue({ b: 1, a: 2 })) as object)).toEqual(['b', 'a'])
    expect(hex(encodeValue({ b: 1, a: 2 }))).not.toBe(hex(encodeValue({ a: 2, b: 1 })))
  })

  it('is null where it is undefined as a whole, and without undefined or symbol properties (V5)', () => {
    expect(decodeValue(encodeValue(undefined))).toBe(null)
    expect(decodeValue(encodeValue({ a: undefined, b: 1, [Symbol('c')]: 2 }))).toStrictEqual({ b: 1 })
    expect(toJson({ a: undefined, b: 1 } as unknown as Value)).toStrictEqual({ b: 1 })
  })

  it('has no -0 (V3)', () => {
    expect(Object.is(decodeValue(encodeValue(-0)), 0)).toBe(true)
    expect(Object.is(decodeValue(bytesOf('cb 8000000000000000')), 0)).toBe(true)
    expect(Object.is(fromJson(JSON.parse('-0')), 0)).toBe(true)
    expect(Object.is(toJson(-0), 0)).toBe(true)
  })

  it('may be an object without a prototype, a Buffer, or an array that has more than items (V6)', () => {
    const bare = Object.assign(Object.create(null) as object, { a: 1 })
    expect(decodeValue(encodeValue(bare))).toStrictEqual({ a: 1 })
    expect(decodeValue(encodeValue(Buffer.from('hi')))).toStrictEqual(new Uint8Array([104, 105]))
    expect(decodeValue(encodeValue(Object.assign([1], { more: 2 })))).toStrictEqual([1])
  })

  it('has bytes of its own: neither later values nor what becomes of its bytes change it', () => {
    const first = encodeValue({ a: new Uint8Array([1, 2, 3]) })
    const before = hex(first)
    for (let i = 0; i < 5_000; i++) encodeValue({ other: 'text of some length', i })
    expect(hex(first)).toBe(before)
    const copy = decodeValue(first)
    first.fill(0)
    expect(copy).toStrictEqual({ a: new Uint8Array([1, 2, 3]) })
  })

  it('keeps no more memory than its bytes when it is large', () => {
    const bytes = encodeValue('x'.repeat(100_000))
    expect(bytes.buffer.byteLength).toBe(bytes.length)
  })

  it('shares its Uint8Arrays with the bytes only where that is asked for', () => {
    const bytes = encodeValue([new Uint8Array([1, 2, 3])])
    const [view] = readValue(bytes, true) as [Uint8Array]
    expect(view.constructor).toBe(Uint8Array)
    bytes[bytes.length - 1] = 9
    expect(view).toStrictEqual(new Uint8Array([1, 2, 9]))
  })

  it('is bytes of the plain class, and leaves nothing on the bytes that it is read from', () => {
    for (const v of [1, 'x'.repeat(100_000)]) {
      const bytes = encodeValue(v)
      expect(bytes.constructor).toBe(Uint8Array)
      decodeValue(bytes)
      expect(Object.getOwnPropertyNames(bytes)).toHaveLength(bytes.length)
      expect(decodeValue(Buffer.from(bytes))).toBe(v)
    }
    const read = decodeValue(Buffer.from(encodeValue([new Uint8Array(3)]))) as Uint8Array[]
    expect(read[0]!.constructor).toBe(Uint8Array)
  })

  it('may have keys that msgpackr asks objects for', () => {
    const odd = { constructor: 1, toJSON: 'x', hasOwnProperty: [null], valueOf: { constructor: 'Map' }, dataView: 0n }
    expect(same(decodeValue(encodeValue(odd)), odd)).toBe(true)
    expect(hex(encodeValue(odd))).toBe(hex(encodeValue(decodeValue(encodeValue(odd)))))
    const bare = Object.assign(Object.create(null) as object, { toJSON: 1, a: undefined })
    expect(decodeValue(encodeValue(bare))).toStrictEqual({ toJSON: 1 })
    expect(decodeValue(encodeValue({ constructor: undefined, a: 1 }))).toStrictEqual({ a: 1 })
  })

  it('keeps a byte order mark, wherever one is', () => {
    for (const n of [0, 5, 29, 30, 61, 62, 63, 64, 252, 253, 254, 300, 65_532, 65_533, 65_536, 70_000]) {
      for (const text of [`\uFEFF${'x'.repeat(n)}`, `\uFEFF\uFEFF${'é'.repeat(n)}`, `x\uFEFF${'x'.repeat(n)}`]) {
        const v = { text, list: [text, 1, [{ [text]: text }], -0], after: 'plain', bytes: new Uint8Array(9) }
        expect(decodeValue(encodeValue(v))).toStrictEqual({ ...v, list: [text, 1, [{ [text]: text }], 0] })
      }
    }
    const bytes = encodeValue(['\uFEFF'.repeat(100), new Uint8Array([1])])
    const before = hex(bytes)
    expect(readValue(bytes, true)).toStrictEqual(['\uFEFF'.repeat(100), new Uint8Array([1])])
    expect(hex(bytes)).toBe(before)
  })

  it('is read once: what was checked is what is written (K1)', () => {
    let reads = 0
    const changing = {
      get a() {
        return reads++ === 0 ? 1 : () => 'never'
      },
    }
    expect(decodeValue(encodeValue([changing]))).toStrictEqual([{ a: 1 }])
    const proxy = new Proxy([1, 2], {
      get: (items, key, self) => (key === '1' && reads++ > 1 ? undefined : (Reflect.get(items, key, self) as unknown)),
    })
    expect(decodeValue(encodeValue({ proxy }))).toStrictEqual({ proxy: [1, 2] })
    expect(reads).toBe(2)
  })

  it('may be or hold an instance of a subclass of what is a value', () => {
    class Items extends Array<number> {}
    class Raw extends Uint8Array {}
    class Day extends Date {}
    Object.defineProperty(Raw.prototype, 'constructor', { value: Object })
    const v = { items: Items.of(1, 2), raw: new Raw([1, 2]), day: new Day(5) }
    expect(decodeValue(encodeValue(v))).toStrictEqual({ items: [1, 2], raw: new Uint8Array([1, 2]), day: new Date(5) })
  })

  it('has the same bytes whatever others have registered with msgpackr (M1)', () => {
    const v = {
      at: new Date(1_500),
      raw: new Uint8Array([1]),
      big: 2n ** 70n,
      list: [1],
      text: `\uFEFF${'x'.repeat(99)}`,
    }
    const before = hex(encodeValue(v))
    for (const Class of [Date, Uint8Array, Object, Array]) {
      addExtension({ Class, type: 0x42, pack: () => Buffer.from('not ours'), unpack: () => 'not ours' })
    }
    addExtension({ type: 0xff, unpack: () => 'not ours' })
    expect(hex(encodeValue(v))).toBe(before)
    expect(decodeValue(bytesOf(before))).toStrictEqual(v)
    expect(pack(new Date(1_500)).toString()).toContain('not ours')
    expect(() => unpack(bytesOf('c7 04 01 bbbf 6161')) as unknown).toThrow('Unknown extension')
  })

  it('may be read by a getter that encodes another one', () => {
    const inner = { x: 'y'.repeat(3_000) }
    let insideBytes: Uint8Array | undefined
    const outer = {
      before: 1,
      get inside() {
        insideBytes = encodeValue(inner)
        expect(() => encodeValue({ bad: Number.NaN })).toThrow()
        return 'z'.repeat(20_000)
      },
      after: [2],
    }
    expect(decodeValue(encodeValue(outer))).toStrictEqual({ before: 1, inside: 'z'.repeat(20_000), after: [2] })
    expect(decodeValue(insideBytes!)).toStrictEqual(inner)
  })

  it('can be encoded after one that was refused in its middle', () => {
    for (let i = 0; i < 3; i++) {
      refusal(() => encodeValue({ a: [{ b: 'x'.repeat(30_000) }, Number.NaN] }))
      expect(decodeValue(encodeValue({ a: 1 }))).toStrictEqual({ a: 1 })
    }
  })
})

class Money {
  amount = 1
}
const cyclic: Record<string, unknown> = {}
cyclic['self'] = cyclic
const nested = (levels: number): Value => (levels === 0 ? 1 : [nested(levels - 1)])

describe('what is not a value is refused with its path (V3–V7):', () => {
  it.each<[string, unknown, string]>([
    ['NaN', { items: [0, 1, 2, { price: Number.NaN }] }, '$.items[3].price'],
    ['Infinity', Infinity, '$'],
    ['-Infinity', [-Infinity], '$[0]'],
    ['undefined in an array', { a: [1, undefined] }, '$.a[1]'],
    ['a hole', { a: new Array(2) }, '$.a[0]'],
    ['a function', { f: () => 1 }, '$.f'],
    ['a class', { C: Money }, '$.C'],
    ['a symbol', Symbol('s'), '$'],
    ['a Map', { m: new Map() }, '$.m'],
    ['a Set', [new Set()], '$[0]'],
    ['an instance', { 'a b': new Money() }, '$["a b"]'],
    ['an Error', new Error('no'), '$'],
    ['a RegExp', /x/, '$'],
    ['a Promise', Promise.resolve(), '$'],
    ['a boxed number', Object(1), '$'],
    ['another typed array', { f: new Float64Array(1) }, '$.f'],
    ['an ArrayBuffer', new ArrayBuffer(1), '$'],
    ['an object made from an instance', Object.create({ a: 1 }), '$'],
    ['an invalid date', { at: new Date(Number.NaN) }, '$.at'],
    ['a lone surrogate', ['a\uD800'], '$[0]'],
    ['a lone surrogate in a long text', ['é'.repeat(100) + '\uDC00'], '$[0]'],
    ['a lone surrogate in a key', { '\uD800': 1 }, '$["\\ud800"]'],
    ['the key __proto__', JSON.parse('{"a":{"__proto__":1}}'), '$.a.__proto__'],
    ['a bigint of 1,025 bits', [2n ** 1023n], '$[0]'],
    ['a bigint of -1,025 bits', [-(2n ** 1023n) - 1n], '$[0]'],
  ])('%s', (_, bad, path) => {
    const error = refusal(() => encodeValue(bad))
    expect(error.path).toBe(path)
    expect(error.message).toContain(`at ${path}, `)
  })

  it('a value that holds itself, or is deeper than 100 levels', () => {
    expect(refusal(() => encodeValue(cyclic)).path).toBe(`$${'.self'.repeat(100)}`)
    expect(decodeValue(encodeValue(nested(100)))).toStrictEqual(nested(100))
    expect(refusal(() => encodeValue(nested(101))).path).toBe(`$${'[0]'.repeat(100)}`)
    expect(fromJson(toJson(nested(100)))).toStrictEqual(nested(100))
    expect(refusal(() => toJson(nested(101))).path).toBe(`$${'[0]'.repeat(100)}`)
    expect(refusal(() => toJson(cyclic as Value)).message).toContain('100 levels')
    expect(refusal(() => fromJson(nested(101))).message).toContain('100 levels')
  })

  it('a value longer than 64 MiB, also one that is small until it is written', () => {
    let doubling: Value = ['x'.repeat(1_000)]
    for (let i = 0; i < 40; i++) doubling = [doubling, doubling]
    expect(refusal(() => encodeValue(doubling)).message).toContain('67108864 bytes')
    expect(refusal(() => encodeValue([new Uint8Array(64 * 1_024 * 1_024)])).path).toBe('$[0]')
  })

  it('a value of small parts that would be copied without end', () => {
    let doubling: Value = []
    for (let i = 0; i < 99; i++) doubling = [doubling, doubling]
    const before = process.memoryUsage().rss
    expect(refusal(() => encodeValue(doubling)).message).toContain('67108864 bytes')
    expect(process.memoryUsage().rss - before).toBeLessThan(1_024 * 1_024 * 1_024)
  })

  it('a value that is longer than it looks', () => {
    const text = 'é'.repeat(33 * 1_024 * 1_024)
    expect(refusal(() => encodeValue(text)).message).toContain('67108864 bytes')
    const bytes = new Uint8Array(64 * 1_024 * 1_024 + 1).fill(0xc0)
    expect(refusal(() => decodeValue(bytes)).message).toContain('more than 67108864 bytes')
  })

  it('a value whose getter throws: its error is passed on', () => {
    const bad = {
      get a(): number {
        throw new TypeError('mine')
      },
    }
    expect(() => encodeValue(bad)).toThrow('mine')
    expect(decodeValue(encodeValue([1]))).toStrictEqual([1])
  })

  it('a value without a JSON form', () => {
    const bad = (v: unknown) => refusal(() => toJson(v as Value)).path
    expect(bad({ a: [Number.NaN] })).toBe('$.a[0]')
    expect(bad({ a: () => 1 })).toBe('$.a')
    expect(bad([undefined])).toBe('$[0]')
    expect(bad({ at: new Date(Number.NaN) })).toBe('$.at')
  })
})

describe('JSON forms', () => {
  it.each<[string, Value, string]>([
    ['bytes', new Uint8Array([0, 255]), '{"$bytes":"AP8="}'],
    ['a bigint', -123n, '{"$bigint":"-123"}'],
    ['a date', new Date(0), '{"$date":"1970-01-01T00:00:00.000Z"}'],
    ['an object that looks like one', { $bytes: 'AP8=' }, '{"$object":{"$bytes":"AP8="}}'],
    [
      'an object that looks like the escape',
      { $object: { $date: 1n } },
      '{"$object":{"$object":{"$object":{"$date":{"$bigint":"1"}}}}}',
    ],
    ['an object that has another key, too', { $bytes: 'AP8=', a: 1 }, '{"$bytes":"AP8=","a":1}'],
    ['an object with another such key', { $other: 1 }, '{"$other":1}'],
  ])('of %s', (_, v, json) => {
    expect(JSON.stringify(toJson(v))).toBe(json)
    expect(fromJson(JSON.parse(json))).toStrictEqual(v)
  })

  it.each([
    '2026-01-31T12:00:00Z',
    '2026-01-31T12:00:00.5Z',
    '2026-01-31T14:00:00+02:00',
    '-000001-01-01T00:00:00.000Z',
  ])('take the time %s', (text) => {
    expect(fromJson({ $date: text })).toStrictEqual(new Date(text))
  })

  it.each<[string, unknown, string]>([
    ['bytes that are no text', { a: { $bytes: 5 } }, '$.a'],
    ['base64 without padding', { $bytes: 'AP8' }, '$'],
    ['base64 of the other alphabet', { $bytes: '_-8=' }, '$'],
    ['base64 with spaces', { $bytes: 'AP8= ' }, '$'],
    ['a bigint that is a number', { $bigint: 1 }, '$'],
    ['an empty bigint', { $bigint: '' }, '$'],
    ['a hexadecimal bigint', { $bigint: '0x10' }, '$'],
    ['-0', { $bigint: '-0' }, '$'],
    ['a bigint with a leading zero', { $bigint: '01' }, '$'],
    ['a bigint of 1,025 bits', { $bigint: (2n ** 1023n).toString() }, '$'],
    ['a bigint of a million digits', { $bigint: '9'.repeat(1_000_000) }, '$'],
    ['a date that is none', { $date: 'tomorrow' }, '$'],
    ['a date without a time', { $date: '2026-01-31' }, '$'],
    ['a date without a zone', { $date: '2026-01-31T12:00:00' }, '$'],
    ['30 February', { $date: '2026-02-30T12:00:00Z' }, '$'],
    ['month 13', { $date: '2026-13-01T12:00:00Z' }, '$'],
    ['a date as a number', [{ $date: 0 }], '$[0]'],
    ['an escape that holds no object', { $object: [] }, '$'],
    ['an escape that holds null', { $object: null }, '$'],
    ['Infinity', JSON.parse('[1e999]'), '$[0]'],
    ['the key __proto__', JSON.parse('{"a":{"__proto__":{"b":1}}}'), '$.a.__proto__'],
    ['the key __proto__ in an escape', JSON.parse('{"$object":{"__proto__":{"b":1}}}'), '$.__proto__'],
    ['what JSON.parse never gives', { a: undefined, b: [() => 1] }, '$.b[0]'],
  ])('are refused: %s', (_, json, path) => {
    expect(refusal(() => fromJson(json)).path).toBe(path)
  })
})

describe('hostile bytes', () => {
  it.each([
    ['nothing', ''],
    ['a byte after the value', '01 01'],
    ['the head that msgpack never uses', 'c1'],
    ['a record definition of msgpackr', 'd4 72 40 91 a1 61 01'],
    ['a wide record definition of msgpackr', 'd5 72 40 00 91 a1 61 01'],
    ['an undefined of msgpackr', 'd4 00 00'],
    ['an Error of msgpackr', 'd4 65 00 92 a5 4572726f72 a2 6e6f'],
    ['a RegExp of msgpackr', 'd4 78 00 92 a1 61 a1 67'],
    ['a Set of msgpackr', 'd4 73 00 91 01'],
    ['a pointer of msgpackr', 'd6 70 00000001'],
    ['a reference target of msgpackr', 'd6 69 00000001 90'],
    ['a typed array of msgpackr', 'c7 02 74 01 00'],
    ['bundled strings of msgpackr', 'd6 62 00000001'],
    ['an invalid date of msgpackr', 'd4 ff ff'],
    ['a date of 32 bits with a longer head', 'c7 04 ff 00000000'],
    ['a date of 64 bits with a longer head', 'c7 08 ff 00000000 00000000'],
    ['a date of 128 bits', 'd8 ff' + '00'.repeat(16)],
    ['a text as mend-bytes.ts puts it', 'c7 04 01 bbbf 6161'],
    ['a date with half milliseconds', 'd7 ff 001e8480 00000000'],
    ['a date with a second of nanoseconds', 'c7 0c ff 3b9aca00 0000000000000000'],
    ['a date out of range', 'c7 0c ff 00000000 7fffffffffffffff'],
    ['a bigint that fits 64 bits', 'd7 42 0000000000000001'],
    ['a bigint of 1,032 bits', 'c7 81 42 01' + '00'.repeat(128)],
    ['an extension of 16 bits length', 'c8 0001 42 01'],
    ['an extension of 32 bits length', 'c9 00000001 42 01'],
    ['an extension that is cut', 'c7 0c ff 00'],
    ['NaN', 'cb 7ff8000000000000'],
    ['Infinity as float 32', 'ca 7f800000'],
    ['a number as a key', '81 01 01'],
    ['nil as a key', '81 c0 01'],
    ['bytes as a key', '81 c4 01 61 01'],
    ['the key __proto__', '81 a9 5f5f70726f746f5f5f 80'],
    ['the key __proto__ with a longer head', '81 d9 09 5f5f70726f746f5f5f 80'],
    ['ill-formed UTF-8', 'a2 c328'],
    ['an overlong character', 'a2 c0ae'],
    ['a surrogate as UTF-8', 'a3 eda080'],
    ['an ill-formed key', '81 a1 ff 01'],
    ['a text that is cut', 'a5 6161'],
    ['a long text that is cut', 'db ffffffff 61'],
    ['bytes that are cut', 'c6 ffffffff 00'],
    ['an array of 4 billion', 'dd ffffffff c0'],
    ['an object of 4 billion', 'df ffffffff a1 61 c0'],
    ['a hundred arrays of 30 million inside each other', 'dd 01c9c380'.repeat(100)],
    ['an object without its last value', '82 a1 61 01 a1 62'],
    ['101 levels of arrays', '91'.repeat(101) + 'c0'],
    ['101 levels of objects', '81a161'.repeat(101) + 'c0'],
    ['a million levels', '91'.repeat(1_000_000) + 'c0'],
  ])('are refused: %s (B1–B3)', (_, text) => {
    const error = refusal(() => decodeValue(bytesOf(text)))
    expect(error.message).toContain('these bytes are not a value')
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })

  it('are refused wherever a good value is cut (B2)', () => {
    const bytes = encodeValue({ a: [1, -1, 1.5, 'text', 'é'.repeat(40), 2n ** 70n, new Date(1), new Uint8Array(3)] })
    for (let n = 0; n < bytes.length; n++)
      expect(refusal(() => decodeValue(bytes.subarray(0, n)))).toBeInstanceOf(Error)
  })

  it('are refused or are a value that comes back equal, whatever they are (B1, B2)', () => {
    const head = fc.constantFrom(
      0x81,
      0x82,
      0x91,
      0x92,
      0xa1,
      0xc0,
      0xc4,
      0xc7,
      0xcb,
      0xd3,
      0xd7,
      0xd9,
      0xdc,
      0xde,
      0xff,
      0x42,
      0x61,
    )
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.array(fc.oneof(head, fc.nat(255)), { maxLength: 40 }).map((list) => Uint8Array.from(list)),
      fc.tuple(value, fc.nat(), fc.integer({ min: 1, max: 255 })).map(([v, at, flip]) => {
        const bytes = encodeValue(v).slice()
        bytes[at % bytes.length]! ^= flip
        return bytes
      }),
    )
    fc.assert(
      fc.property(bytes, (b) => {
        let read: Value
        try {
          read = decodeValue(b)
        } catch (error) {
          expect(isHoldfastError(error, 'INVALID')).toBe(true)
          return
        }
        expect(same(decodeValue(encodeValue(read)), read)).toBe(true)
      }),
      { numRuns: 5_000 },
    )
  })

  it('do not confuse the table of keys that are known, whatever keys share a place in it', () => {
    const keys = Array.from({ length: 5_000 }, (_, i) => `key ${i} of many`)
    const object = Object.fromEntries(keys.map((key, i) => [key, i]))
    const few = keys.map((key, i) => ({ [key]: i, [`é${key}`]: ~i }))
    for (let i = 0; i < 3; i++) {
      expect(decodeValue(encodeValue(object))).toStrictEqual(object)
      for (const small of few) expect(decodeValue(encodeValue(small))).toStrictEqual(small)
    }
  })

  it('that are cut in one message do not spoil the keys of the next', () => {
    const bytes = encodeValue({ käse: 1, later: 'a longer text'.repeat(3) })
    for (let n = 0; n < bytes.length; n++) refusal(() => decodeValue(bytes.subarray(0, n)))
    expect(decodeValue(encodeValue({ käse: 2 }))).toStrictEqual({ käse: 2 })
  })

  it('of other spellings of a number are the number', () => {
    expect(decodeValue(bytesOf('ca 3fc00000'))).toBe(1.5)
    expect(decodeValue(bytesOf('cd 0001'))).toBe(1)
    expect(decodeValue(bytesOf('d1 fffe'))).toBe(-2)
    expect(decodeValue(bytesOf('d3 0000000000000001'))).toBe(1n)
  })
})

describe('golden bytes', () => {
  interface Golden {
    readonly name: string
    readonly json: unknown
    readonly hex: string
  }
  const goldens = JSON.parse(
    readFileSync(new URL('../fixtures/values.json', import.meta.url), 'utf8'),
  ) as readonly Golden[]

  it.each(goldens)('of $name (V8)', ({ json, hex: bytes }) => {
    const v = fromJson(json)
    expect(hex(encodeValue(v))).toBe(bytes)
    expect(decodeValue(bytesOf(bytes))).toStrictEqual(v)
    expect(toJson(v)).toStrictEqual(json)
  })
})
