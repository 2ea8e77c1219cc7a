/**
 * What every adapter of the Objects port keeps (B1–B6), whatever it stores its objects in.
 *
 * Call `objectsConformance` from the adapter's own test file; each test gets a world of its own from `makeWorld`.
 */
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { maxObjectBytes, maxObjectName } from '../../src/core/objects.ts'
import type { Objects } from '../../src/ports/objects.ts'
import { bytes, pattern, same, text } from './bytes.ts'

export interface ObjectsWorld {
  /** A handle of one more node on the same objects. */
  connect(): Promise<Objects>
  /** Makes one byte of a stored object another, behind the adapter's back. */
  damage(name: string): Promise<void>
  /** Only of adapters that outlive a restart: closes every handle, stops the server, starts it again on what it kept. */
  restart?(): Promise<void>
  close(): Promise<void>
}

export interface ObjectsTraits {
  /** The world has `restart`. */
  readonly durable: boolean
}

const namesOf = async (objects: Objects, prefix = '') => (await objects.list(prefix)).map(({ name }) => name)

export function objectsConformance(name: string, makeWorld: () => Promise<ObjectsWorld>, traits: ObjectsTraits): void {
  describe(`${name} keep the rules of objects`, () => {
    let world: ObjectsWorld
    let a: Objects
    let b: Objects

    beforeEach(async () => {
      world = await makeWorld()
      a = await world.connect()
      b = await world.connect()
    })
    afterEach(() => world.close())

    it('have nothing under a name that nobody put', async () => {
      expect(await a.get('one')).toBeNull()
      expect(await a.list('')).toEqual([])
      expect(await a.sweep()).toBe(0)
    })

    it('are found by every reader from when put resolves (B1)', async () => {
      await a.put('p3.one', bytes('content'))
      for (const reader of [a, b, await world.connect()]) {
        expect(text(await reader.get('p3.one'))).toBe('content')
        expect(await reader.list('')).toEqual([{ name: 'p3.one', bytes: 7 }])
      }
    })

    it('are put again with the same bytes, and not with others (B3)', async () => {
      await a.put('one', bytes('content'))
      await a.put('one', bytes('content'))
      await b.put('one', bytes('content'))
      for (const other of ['contend', 'content ', 'conten', '']) {
        await expect(b.put('one', bytes(other))).rejects.toMatchObject({
          code: 'CONFLICT',
          message: expect.stringContaining('one'),
        })
      }
      expect(text(await a.get('one'))).toBe('content')
    })

    it('of several at once under a name one is stored, whole (B2, B3)', async () => {
      const contents = Array.from({ length: 8 }, (_, i) => pattern(300_000, i))
      const outcomes = await Promise.allSettled(contents.map((content, i) => (i % 2 ? a : b).put('one', content)))
      const winners = outcomes.flatMap((outcome, i) => (outcome.status === 'fulfilled' ? [i] : []))
      expect(winners).toHaveLength(1)
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'CONFLICT' })
      }
      expect(same((await a.get('one'))!, contents[winners[0]!]!)).toBe(true)
      expect(await a.list('')).toEqual([{ name: 'one', bytes: 300_000 }])
    })

    it('of the same bytes put at once all puts resolve (B3)', async () => {
      const content = pattern(200_000)
      await Promise.all([a, b, a, b].map((objects) => objects.put('one', content)))
      expect(same((await b.get('one'))!, content)).toBe(true)
    })

    it('keep every byte, empty ones and the largest too', async () => {
      const sizes = [0, 1, 131_071, 131_072, 131_073, 1_048_577, maxObjectBytes]
      for (const [i, size] of sizes.entries()) {
        const content = size === 1 ? Uint8Array.of(0) : pattern(size, i)
        await a.put(`o${i}`, content)
        expect(same((await b.get(`o${i}`))!, content)).toBe(true)
      }
      expect((await a.list('')).map((entry) => entry.bytes)).toEqual(sizes)
    })

    it('refuse one byte too many as INVALID', async () => {
      await expect(a.put('large', new Uint8Array(maxObjectBytes + 1))).rejects.toMatchObject({
        code: 'INVALID',
        message: expect.stringMatching(/large has \d+ bytes/),
      })
      expect(await a.get('large')).toBeNull()
    })

    it('have taken the bytes when put returns, and give bytes that are the caller’s own', async () => {
      const content = bytes('before')
      const put = a.put('one', content)
      content.fill(0x21)
      await put
      const got = (await a.get('one'))!
      expect(text(got)).toBe('before')
      got.fill(0x21)
      expect(text(await a.get('one'))).toBe('before')
    })

    it('are listed under whole tokens only, by the order of their names', async () => {
      const names = ['p1.b', 'p1', 'p10.a', 'p1.a.c', 'P1.a', 'p1.a', 'p1-.a', '_', 'p1.A']
      for (const each of names) await a.put(each, bytes(each))
      expect(await namesOf(b)).toEqual(names.toSorted())
      expect(await namesOf(b, 'p1')).toEqual(['p1', 'p1.A', 'p1.a', 'p1.a.c', 'p1.b'])
      expect(await namesOf(b, 'p1.a')).toEqual(['p1.a', 'p1.a.c'])
      expect(await namesOf(b, 'P1')).toEqual(['P1.a'])
      expect(await namesOf(b, 'nothing.here')).toEqual([])
    })

    it('are other objects where only the case of their names differs', async () => {
      await a.put('name', bytes('small'))
      await a.put('Name', bytes('large'))
      await a.delete('name')
      expect(text(await b.get('Name'))).toBe('large')
      expect(await namesOf(b)).toEqual(['Name'])
    })

    it('are gone when delete resolves, and can be put again with other bytes', async () => {
      const content = pattern(400_000)
      await a.put('one', content)
      await a.put('other', bytes('stays'))
      await b.delete('one')
      await b.delete('one')
      await a.delete('never-there')
      expect(await a.get('one')).toBeNull()
      expect(await namesOf(a)).toEqual(['other'])
      await a.put('one', bytes('another'))
      expect(text(await b.get('one'))).toBe('another')
    })

    it('that are damaged say so with their name, as INTERNAL, and can be deleted (B5)', async () => {
      await a.put('one', pattern(300_000))
      await a.put('two', bytes('whole'))
      await world.damage('one')
      await expect(b.get('one')).rejects.toMatchObject({ code: 'INTERNAL', message: expect.stringContaining(' one ') })
      expect(text(await b.get('two'))).toBe('whole')
      expect(await namesOf(b)).toEqual(['one', 'two'])
      await a.delete('one')
      expect(await a.get('one')).toBeNull()
    })

    it('are whole or not there for whoever reads while they are put and deleted (B2)', async () => {
      const content = pattern(700_000)
      let writing = true
      const write = async () => {
        for (let round = 0; round < 5; round++) {
          await a.put('one', content)
          await a.delete('one')
        }
        writing = false
      }
      const read = async () => {
        const seen = new Set<string>()
        while (writing) {
          const got = await b.get('one')
          seen.add(got === null ? 'none' : same(got, content) ? 'whole' : 'part')
        }
        return seen
      }
      const [, ...seen] = await Promise.all([write(), read(), read()])
      for (const each of seen) expect(each).not.toContain('part')
      expect(await a.get('one')).toBeNull()
    })

    it('are not touched by a sweep (B6)', async () => {
      const content = pattern(300_000)
      await a.put('one', content)
      const [swept] = await Promise.all([b.sweep(), a.put('two', content)])
      expect(swept).toBe(0)
      expect(await b.sweep()).toBe(0)
      for (const each of ['one', 'two']) expect(same((await b.get(each))!, content)).toBe(true)
    })

    it.each([
      '',
      '.',
      'a.',
      '.a',
      'a..b',
      'a b',
      'a/b',
      '../a',
      'a*',
      '>',
      'käse',
      'a~',
      'a+b',
      'n'.repeat(maxObjectName + 1),
    ])('refuse the name %j as INVALID', async (wrong) => {
      const invalid = { code: 'INVALID' }
      await expect(a.put(wrong, bytes('x'))).rejects.toMatchObject(invalid)
      await expect(a.get(wrong)).rejects.toMatchObject(invalid)
      await expect(a.delete(wrong)).rejects.toMatchObject(invalid)
      if (wrong !== '') await expect(a.list(wrong)).rejects.toMatchObject(invalid)
    })

    it('take the longest name there may be', async () => {
      for (const longest of ['N'.repeat(maxObjectName), `${'a.'.repeat(49)}ab`]) {
        await a.put(longest, bytes(longest))
        expect(text(await b.get(longest))).toBe(longest)
      }
      expect(await namesOf(b)).toHaveLength(2)
    })

    it('agree with a plain map under any sequence of calls', async () => {
      const name = fc.constantFrom('a', 'a.b', 'A.b', 'c')
      const step = fc.oneof(
        fc.record({ call: fc.constant('put' as const), name, content: fc.constantFrom('', 'x', 'y'.repeat(140_000)) }),
        fc.record({ call: fc.constant('delete' as const), name }),
      )
      let run = 0
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
          const root = `run${run++}`
          const model = new Map<string, string>()
          for (const [i, step] of steps.entries()) {
            const objects = i % 2 ? a : b
            const key = `${root}.${step.name}`
            if (step.call === 'delete') {
              await objects.delete(key)
              model.delete(key)
            } else {
              const conflict = (model.get(key) ?? step.content) !== step.content
              const put = objects.put(key, bytes(step.content))
              if (conflict) await expect(put).rejects.toMatchObject({ code: 'CONFLICT' })
              else await put
              if (!conflict) model.set(key, step.content)
            }
          }
          expect(await namesOf(a, root)).toEqual([...model.keys()].toSorted())
          for (const [key, content] of model) expect(text(await b.get(key))).toBe(content)
        }),
        { numRuns: 8 },
      )
    })

    it('answer nothing more through a handle that was closed', async () => {
      await a.put('one', bytes('content'))
      await a.close()
      const retry = { code: 'RETRY' }
      await expect(a.put('two', bytes('x'))).rejects.toMatchObject(retry)
      await expect(a.get('one')).rejects.toMatchObject(retry)
      await expect(a.list('')).rejects.toMatchObject(retry)
      await expect(a.delete('one')).rejects.toMatchObject(retry)
      expect(text(await b.get('one'))).toBe('content')
    })

    if (traits.durable) {
      it('are all there after a restart (B1)', async () => {
        const content = pattern(500_000)
        await a.put('one', content)
        await b.put('two', bytes('content'))
        await a.put('gone', bytes('x'))
        await a.delete('gone')
        await world.restart!()
        const again = await world.connect()
        expect(await again.list('')).toEqual([
          { name: 'one', bytes: 500_000 },
          { name: 'two', bytes: 7 },
        ])
        expect(same((await again.get('one'))!, content)).toBe(true)
        await again.put('one', content)
        await expect(again.put('two', bytes('x'))).rejects.toMatchObject({ code: 'CONFLICT' })
      })
    }
  })
}
