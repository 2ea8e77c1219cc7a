import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkPattern, checkSubject } from '../../src/adapters/memory/message-check.ts'
import { actor, type CommandContext } from '../../src/behaviour/index.ts'
import { kvType } from '../../src/behaviour/kv.ts'
import { connect, createNode } from '../../src/index.ts'
import { actorId, keyOf } from '../../src/partition/names.ts'
import { actorKey } from '../../src/partition/store-layout.ts'
import { isHoldfastError } from '../../src/protocol/errors.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import {
  checkName,
  decodeToken,
  encodeToken,
  escapeText,
  headerNames,
  nameHeaders,
  resolveName,
  subjectsOf,
} from '../../src/protocol/subjects.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'

const howMany = 100_000

/** What names are made of that mean something to a file system, a subject, a header, a store, or to who reads them. */
const pieces = [
  ...[
    '.',
    '..',
    '/',
    '\\',
    '../',
    '..\\',
    '~',
    'C:',
    'CON',
    'p0',
    'node',
    'server',
    'logs',
    'set-aside',
    'LOCK',
    'CURRENT',
  ],
  ...['*', '>', '$JS', '$KV', '$SYS', '_INBOX', 'call', 'shop', ' ', '\t', '\r\n', '\0', '\x7f', '\x01', ':', ';', ','],
  ...['=', '=2E', '=2e', '==', '=h', '=3D2E', '%', '%2F', '%00', '+', '&', '"', "'", '`', '{', '}', '[', ']'],
  ...['a', 'A', 'z', 'Z', '0', '9', '_', '-', 'kv-', '.kept', '.task', '__proto__', 'constructor', 'toString', 'then'],
  // One letter in several spellings, and several letters that look like one.
  ...[
    'é',
    'e\u0301',
    'Å',
    '\u212B',
    'A\u030A',
    'ﬁ',
    'fi',
    'ß',
    'ẞ',
    'ss',
    'İ',
    'i̇',
    'ı',
    'K',
    '\u212A',
    'а',
    'ο',
    'Ω',
    '\u2126',
  ],
  ...[
    '\u202E',
    '\u202D',
    '\u200B',
    '\u200D',
    '\uFEFF',
    '\u00A0',
    '\u3000',
    '\u2028',
    '\u0085',
    '\uFFFD',
    '\uFFFF',
    '\u{10FFFF}',
  ],
  ...[
    '🛒',
    '👩‍👩‍👧',
    '\uD800',
    '\uDC00',
    '\uDBFF',
    'ключ',
    'مفتاح',
    '钥匙',
    'x'.repeat(127),
    'x'.repeat(128),
    'é'.repeat(64),
  ],
  ...['x'.repeat(129), 'x'.repeat(511), 'x'.repeat(512), 'x'.repeat(513), '🛒'.repeat(128), '.'.repeat(43)],
]

/** Names that are all different, hostile ones often beside what they could be taken for. */
function hostileNames(random: SeededRandom): readonly string[] {
  const names = new Set<string>(pieces)
  names.add('')
  const short = pieces.filter(({ length }) => length < 60)
  const fresh = () => {
    const parts = Array.from({ length: 1 + random.below(5) }, () => random.pick(short)!)
    return (random.chance(0.05) ? [...parts, random.pick(pieces)!] : parts).join('')
  }
  while (names.size < howMany) {
    const name = random.chance(0.1)
      ? String.fromCharCode(...Array.from({ length: 3 }, () => random.below(65_536)))
      : fresh()
    names.add(name)
    // What it is written as somewhere, or equal to by somebody's rules.
    for (const twin of [escapeText, encodeToken, encodeURIComponent, lower, upper, composed, decomposed, compatible]) {
      if (!random.chance(0.3)) continue
      try {
        names.add(twin(name))
      } catch {
        // A lone surrogate has no percent escapes.
      }
    }
  }
  return [...names].slice(0, howMany)
}

const lower = (text: string) => text.toLowerCase()
const upper = (text: string) => text.toUpperCase()
const composed = (text: string) => text.normalize('NFC')
const decomposed = (text: string) => text.normalize('NFD')
const compatible = (text: string) => text.normalize('NFKC')

const names = hostileNames(new SeededRandom('names'))

/** Whether it may be; anything else than `INVALID` in its place is thrown. */
function allowed(check: () => unknown): boolean {
  try {
    check()
    return true
  } catch (error) {
    if (isHoldfastError(error, 'INVALID')) return false
    throw error
  }
}

const good = names.filter((name) => allowed(() => checkName(name, 'key')))

/** Fails where two different things have one name. */
class Injection {
  readonly #found = new Map<string, string>()

  take(image: string, of: string): void {
    const other = this.#found.get(image)
    if (other !== undefined && other !== of)
      throw new Error(`${JSON.stringify(of)} and ${JSON.stringify(other)} are ${image}`)
    this.#found.set(image, of)
  }

  get size(): number {
    return this.#found.size
  }
}

describe('a hundred thousand hostile names', { timeout: 60_000 }, () => {
  const shop = subjectsOf('shop')

  it('are taken or INVALID, and many of both', () => {
    expect(names).toHaveLength(howMany)
    expect(good.length).toBeGreaterThan(howMany / 4)
    expect(names.length - good.length).toBeGreaterThan(howMany / 100)
    const taken = new Set(good)
    const calls = names.flatMap((name) => (taken.has(name) ? [] : [[name, 'k'] as const, ['t', name] as const]))
    expect(calls.filter(([type, key]) => allowed(() => shop.call('call', type, key, 'add')))).toEqual([])
  })

  it('have tokens that are different, of plain characters, and come back as the names (J1–J3)', () => {
    const tokens = new Injection()
    for (const name of good) {
      const token = encodeToken(name)
      tokens.take(token, name)
      if (!/^[A-Za-z0-9_=-]{1,128}$/.test(token)) throw new Error(`${JSON.stringify(name)} is ${token}`)
      const header = nameHeaders('t', name)?.[headerNames.key]
      if (resolveName(token, header, 'key') !== name) throw new Error(`${token} does not come back`)
      if (decodeToken(token) === null && header === undefined) throw new Error(`${token} needs a header`)
      if (header !== undefined && !/^[A-Za-z0-9_=-]+$/.test(header)) throw new Error(`${header} is no header`)
    }
    expect(tokens.size).toBe(good.length)
  })

  it('stay under the prefix and within the tokens of their subjects, as types and as keys', () => {
    const shapes = good.map((name, i) => {
      const other = good[(i + 1) % good.length]!
      return [
        { subject: shop.call('call', name, other, 'add'), prefix: 'shop.call.', tokens: 5 },
        { subject: shop.call('tell', other, name, 'add'), prefix: 'shop.tell.', tokens: 5 },
        { subject: shop.changes(name, other), prefix: 'shop.changes.', tokens: 4 },
        { subject: shop.list(name), prefix: 'shop.list.', tokens: 3 },
      ]
    })
    for (const { subject, prefix, tokens } of shapes.flat()) {
      if (!subject.startsWith(prefix) || subject.split('.').length !== tokens) throw new Error(subject)
      checkSubject(subject)
    }
    for (const name of good) checkPattern(shop.changesOf(name))
    expect(new Set(shapes.flat().map(({ subject }) => subject)).size).toBe(shapes.length * 4)
  })

  it('come back from the subjects of calls, also as names of commands where those are taken', () => {
    let commands = 0
    good.forEach((key, i) => {
      const type = good[(i * 7) % good.length]!
      const command = allowed(() => shop.call('call', 't', 'k', key)) ? key : 'add'
      if (command === key) commands++
      const target = shop.parseCall(shop.call('query', type, key, command), nameHeaders(type, key))
      if (target.type !== type || target.key !== key || target.name !== command) throw new Error(JSON.stringify(target))
    })
    expect(commands).toBeGreaterThan(good.length / 2)
  })

  it('are different rows of a store, whichever part is the type and which the key', () => {
    const rows = new Injection()
    good.forEach((name, i) => {
      const other = good[(i * 3 + 1) % good.length]!
      for (const [type, key] of [
        [name, other],
        [other, name],
        ['t', name],
        [name, 'k'],
      ] as const) {
        const id = actorId(type, key)
        if (keyOf(id) !== key) throw new Error(id)
        rows.take(Buffer.from(actorKey(id)).toString('latin1'), JSON.stringify([type, key]))
      }
    })
    expect(rows.size).toBeGreaterThan(good.length * 3)
  })

  it('each have one partition, whatever the type', () => {
    for (const name of good) {
      const partition = partitionOf(name, 512)
      if (!(partition >= 0 && partition < 512)) throw new Error(`${JSON.stringify(name)} is in ${partition}`)
    }
    expect(new Set(good.map((name) => partitionOf(name, 512))).size).toBe(512)
  })

  it('name stores that are all different types, or are INVALID', () => {
    const types = new Injection()
    for (const name of names) {
      let type = ''
      if (!allowed(() => (type = kvType(name)))) continue
      types.take(encodeToken(type), name)
      if (!type.startsWith('kv-')) throw new Error(type)
      if (encodeToken(type).startsWith('=h')) throw new Error(`${type} cannot be written by hand`)
    }
    expect(types.size).toBeGreaterThan(howMany / 10)
  })

  it('name no cluster, and no node, that could leave its place', () => {
    const clusters = names.filter((name) => allowed(() => subjectsOf(name)))
    for (const cluster of clusters) expect(cluster).toMatch(/^[a-z0-9-]{1,32}$/)
  })
})

describe('a node on a real disk', () => {
  let home: string
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'holdfast-names-'))
  })
  afterEach(async () => {
    await rm(home, { recursive: true, force: true })
  })

  const Named = actor('../named/*', {
    version: 1,
    state: () => '',
    commands: {
      set(ctx: CommandContext<string>, said: string) {
        ctx.state = said
      },
    },
    queries: { get: (state: string) => state },
  })

  it(
    'keeps hostile types, keys and entries apart, and writes nothing outside its directory',
    { timeout: 60_000 },
    async () => {
      const dataDir = join(home, 'data')
      const options = { embedded: true, dataDir, actors: [Named], cluster: 'shop', partitions: 4 } as const
      const random = new SeededRandom('disk')
      const some = [
        ...new Set([
          ...pieces.filter((name) => good.includes(name)),
          ...Array.from({ length: 200 }, () => random.pick(good)!),
        ]),
      ]
      let node = await createNode(options)
      let client = await connect({ embedded: node.embedded!, cluster: 'shop' })
      await Promise.all(some.map((key) => client.actor(Named, key).set(key)))
      await Promise.all(some.map((key) => client.kv('..').put(key, key)))
      await client.close()
      await node.close()
      node = await createNode(options)
      client = await connect({ embedded: node.embedded!, cluster: 'shop' })
      expect(await Promise.all(some.map((key) => client.actor(Named, key).get()))).toEqual(some)
      expect(await Promise.all(some.map((key) => client.kv('..').get(key)))).toEqual(some)
      const listed: string[] = []
      for await (const { key } of client.kv('..').range()) listed.push(key)
      expect(listed.toSorted()).toEqual(some.toSorted())
      await client.close()
      await node.close()
      expect(await readdir(home)).toEqual(['data'])
      const files = await readdir(dataDir, { recursive: true })
      const strange = files.filter((file) => !/^(node-id|(node|p[0-3]|server)(\/[\w.-]+)*)$/.test(file))
      expect(strange).toEqual([])
    },
  )

  it.each(['..', '../x', 'a/b', 'a.b', '*', '', 'é', '\0', 'x'.repeat(65)])(
    'is refused under the id %j',
    async (nodeId) => {
      const refused = createNode({ embedded: true, dataDir: join(home, 'data'), actors: [Named], nodeId })
      await expect(refused).rejects.toMatchObject({ code: 'INVALID' })
      expect((await readdir(home)).filter((name) => name !== 'data')).toEqual([])
    },
  )
})
