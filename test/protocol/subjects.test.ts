import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isHoldfastError } from '../../src/protocol/errors.ts'
import { partitionId, type NodeId } from '../../src/protocol/ids.ts'
import {
  checkName,
  decodeToken,
  encodeToken,
  escapeText,
  headerNames,
  nameHeaders,
  subjectsOf,
  unescapeText,
} from '../../src/protocol/subjects.ts'
import { name, text } from './arbitraries.ts'

const invalid = (run: () => unknown) => {
  try {
    run()
  } catch (error) {
    if (isHoldfastError(error, 'INVALID')) return error.message
    throw error
  }
  throw new Error('it was accepted')
}

describe('tokens', () => {
  it.each([
    ['c1', 'c1'],
    ['A-Za_z09', 'A-Za_z09'],
    ['a.b', 'a=2Eb'],
    ['a b', 'a=20b'],
    ['=', '=3D'],
    ['=2E', '=3D2E'],
    ['*', '=2A'],
    ['>', '=3E'],
    ['$', '=24'],
    ['/', '=2F'],
    ['\r\n\0', '=0D=0A=00'],
    ['é', '=C3=A9'],
    ['🛒', '=F0=9F=9B=92'],
    ['\uFEFFx', '=EF=BB=BFx'],
    ['a'.repeat(128), 'a'.repeat(128)],
    ['a'.repeat(129), '=hc12cb024a2e5551cca0e08fce8f1c5e314555cc3fef6329ee994a3db752166ae'],
    ['ü'.repeat(22), '=h3e36a0d25fe93128699af00310129cabc2b4ef7cda9cbcca52f43c30c5e1f516'],
  ])('of %.12j is %.12s', (plain, token) => {
    expect(encodeToken(plain)).toBe(token)
  })

  it('come back as the text, unless they are hashes (J1)', () => {
    fc.assert(
      fc.property(name, (n) => {
        const token = encodeToken(n)
        expect(decodeToken(token)).toBe(token.startsWith('=h') ? null : n)
        expect(token.startsWith('=h')).toBe(escapeText(n).length > 128)
        expect(unescapeText(escapeText(n))).toBe(n)
      }),
    )
  })

  it('are different for different texts (J1)', () => {
    fc.assert(
      fc.property(name, name, (a, b) => {
        expect(encodeToken(a) === encodeToken(b)).toBe(a === b)
      }),
    )
    // A text that spells the escape, or the hash, of another one.
    const spellings = ['a.b', 'a=2Eb', 'a=3D2Eb', 'x'.repeat(200), encodeToken('x'.repeat(200)), '=h', 'h'.repeat(130)]
    expect(new Set(spellings.map(encodeToken)).size).toBe(spellings.length)
  })

  it('hold nothing that a subject gives a meaning to (J2)', () => {
    fc.assert(
      fc.property(name, (n) => {
        expect(encodeToken(n)).toMatch(/^[A-Za-z0-9_=-]{1,128}$/)
      }),
    )
  })

  it.each([
    '',
    'a.b',
    '=',
    '=4',
    '=2e',
    '=41',
    '=2D',
    '=G0',
    'a=',
    '=h',
    '=hAB',
    '=FF',
    '=C3',
    '=ED=A0=80',
    '=C0=AE',
    'é',
    'a b',
    'a\n',
  ])('are refused where no text has them: %j (J3)', (token) => {
    expect(invalid(() => decodeToken(token))).toContain('is not a subject token')
  })

  it('are refused above 128 bytes (J3)', () => {
    expect(invalid(() => decodeToken('a'.repeat(129)))).toContain('128')
  })

  it('are each the only spelling of their text: what decodes is what encodes to it (J3)', () => {
    const almost = fc.string({
      unit: fc.constantFrom('=', '2', 'E', 'e', 'C', '3', 'A', '9', 'h', 'x'),
      minLength: 1,
      maxLength: 12,
    })
    fc.assert(
      fc.property(almost, (token) => {
        let decoded: string | null
        try {
          decoded = decodeToken(token)
        } catch (error) {
          expect(isHoldfastError(error, 'INVALID')).toBe(true)
          return
        }
        expect(encodeToken(decoded!)).toBe(token)
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('types and keys', () => {
  it.each([
    ['empty', '', 'never empty'],
    ['513 bytes', 'a'.repeat(513), '513 bytes'],
    ['514 bytes in 257 characters', 'é'.repeat(257), '514 bytes'],
    ['half a pair', 'a\uD800', 'lone surrogates'],
    ['a pair the wrong way round', '\uDE00\uD83D', 'lone surrogates'],
  ])('are refused: %s (J5)', (_, text, why) => {
    expect(invalid(() => checkName(text, 'key'))).toContain(why)
    expect(invalid(() => subjectsOf('shop').call('call', text, 'k', 'add'))).toContain(why)
    expect(invalid(() => subjectsOf('shop').call('call', 't', text, 'add'))).toContain(why)
  })

  it('are accepted up to 512 bytes, whatever they hold (J5)', () => {
    for (const text of ['a', 'a'.repeat(512), 'é'.repeat(256), '🛒'.repeat(128), ' ', '\0', '__proto__']) {
      expect(() => checkName(text, 'type')).not.toThrow()
    }
  })
})

describe('call subjects', () => {
  const shop = subjectsOf('shop')
  const kind = fc.constantFrom('call', 'tell', 'query' as const)
  const commandName = text({ minLength: 1, maxLength: 10 })

  it('come back as kind, type, key and name, with the headers that hashed tokens need (J4)', () => {
    fc.assert(
      fc.property(kind, name, name, commandName, (k, type, key, command) => {
        const subject = shop.call(k, type, key, command)
        expect(subject.split('.')).toHaveLength(5)
        expect(shop.parseCall(subject, nameHeaders(type, key))).toEqual({ kind: k, type, key, name: command })
      }),
    )
  })

  it('need a header only for hashed tokens, and that one holds no line break and no outer space (J4)', () => {
    expect(nameHeaders('cart', 'c1')).toBeUndefined()
    expect(nameHeaders('cart', ' \r\n'.repeat(100))).toEqual({ 'Hf-Key': '=20=0D=0A'.repeat(100) })
    expect(Object.keys(nameHeaders('t'.repeat(200), 'k'.repeat(200))!)).toEqual([headerNames.type, headerNames.key])
  })

  it('are refused when the header is missing, or is of another key, or needs no hash (J4)', () => {
    const long = 'k'.repeat(200)
    const subject = shop.call('call', 'cart', long, 'add')
    expect(invalid(() => shop.parseCall(subject))).toContain('Hf-Key')
    expect(invalid(() => shop.parseCall(subject, {}))).toContain('Hf-Key')
    expect(invalid(() => shop.parseCall(subject, { 'Hf-Key': 'j'.repeat(200) }))).toContain('Hf-Key')
    expect(invalid(() => shop.parseCall(subject, { 'Hf-Key': `${long} ` }))).toContain('not a subject token')
    expect(invalid(() => shop.parseCall(subject, { 'Hf-Key': 'k'.repeat(10_000) }))).toContain('too long')
    // A short key has its own token; under its hash it would be a second spelling, in another partition.
    const hashOfShort = 'shop.call.cart.=hba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad.add'
    expect(invalid(() => shop.parseCall(hashOfShort, { 'Hf-Key': 'abc' }))).toContain('Hf-Key')
    expect(shop.parseCall(subject, { 'Hf-Key': long }).key).toBe(long)
  })

  it('ignore the headers of tokens that are not hashes', () => {
    expect(shop.parseCall('shop.call.cart.c1.add', { 'Hf-Key': 'c2', 'Hf-Type': 'other' })).toEqual({
      kind: 'call',
      type: 'cart',
      key: 'c1',
      name: 'add',
    })
  })

  it.each([
    'shop.call.cart.c1',
    'shop.call.cart.c1.add.more',
    'shop.call.cart..add',
    'shop.call.cart.c1.',
    'shop.cast.cart.c1.add',
    'other.call.cart.c1.add',
    'shop.call.cart.=41.add',
    `shop.call.cart.c1.=h${'0'.repeat(64)}`,
    '',
  ])('are refused when they are none: %j', (subject) => {
    expect(invalid(() => shop.parseCall(subject))).not.toBe('')
  })

  it('refuse names of commands that are empty, too long or ill-formed (J5)', () => {
    for (const bad of ['', 'x'.repeat(129), '🛒'.repeat(11), '\uD800']) {
      expect(invalid(() => shop.call('call', 'cart', 'c1', bad))).toContain('name of')
    }
  })
})

describe('the subjects of a cluster', () => {
  it('are those of the protocol', () => {
    const shop = subjectsOf('shop-1')
    const seven = partitionId(7)
    const node = 'n1' as NodeId
    expect([
      shop.call('tell', 'cart', 'a/b', 'add'),
      shop.allCalls('query'),
      shop.watch(seven),
      shop.changes('cart', 'a/b'),
      shop.changesOf('cart'),
      shop.allChanges,
      shop.partition(seven),
      shop.nodeFrame(node),
      shop.nodeControl(node),
      shop.gossip(node),
      shop.log(seven),
      shop.placement,
      shop.placementGet,
    ]).toEqual([
      'shop-1.tell.cart.a=2Fb.add',
      'shop-1.query.*.*.*',
      'shop-1.watch.7',
      'shop-1.changes.cart.a=2Fb',
      'shop-1.changes.cart.*',
      'shop-1.changes.*.*',
      'shop-1.p.7',
      'shop-1.node.n1.frame',
      'shop-1.node.n1.control',
      'shop-1.gossip.n1',
      'shop-1.log.7',
      'shop-1.placement',
      'shop-1.placement.get',
    ])
  })

  it.each(['', 'Shop', 'a.b', '*', 'a b', 'x'.repeat(33)])('are refused for the cluster name %j', (cluster) => {
    expect(invalid(() => subjectsOf(cluster))).toContain('cluster')
  })
})
