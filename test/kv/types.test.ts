import { describe, expect, expectTypeOf, it } from 'vitest'
import { kv, type Holdfast, type KvDefinition, type KvEntry, type Watch } from '../../src/index.ts'

interface User {
  readonly name: string
}

/** Looked at by the type checker only. */
function typed(hf: Holdfast) {
  const definition = kv<User>('users', { ttl: '30d' })
  const [byName, byDefinition, unknown] = [hf.kv<User>('users'), hf.kv(definition), hf.kv('users')]
  // @ts-expect-error -- not a value of this store
  void byName.put('ada', { nam: 'Ada' })
  // @ts-expect-error -- nor of this one
  void byDefinition.put('ada', 5)
  // @ts-expect-error -- no duration
  void byName.put('ada', { name: 'Ada' }, { ttl: '30 days' })
  // @ts-expect-error -- an update needs a rev
  void byName.update('ada', { name: 'Ada' }, {})
  // @ts-expect-error -- a prefix or a range
  void byName.count({ prefix: 'a', from: 'a' })
  // @ts-expect-error -- a definition of an actor is none of a store
  hf.kv({ kind: 'actor' })
  return { definition, byName, byDefinition, unknown, range: byDefinition.range(), watch: byDefinition.watch() }
}

describe('the types of a store', () => {
  it('are those of its values', () => {
    expect(typed).toHaveLength(1)
    type Typed = ReturnType<typeof typed>
    expectTypeOf<Typed['definition']>().toEqualTypeOf<KvDefinition<User>>()
    expectTypeOf<Typed['byDefinition']>().toEqualTypeOf<Typed['byName']>()
    expectTypeOf<Awaited<ReturnType<Typed['byName']['get']>>>().toEqualTypeOf<User | undefined>()
    expectTypeOf<Awaited<ReturnType<Typed['unknown']['get']>>>().toEqualTypeOf<unknown>()
    expectTypeOf<Awaited<ReturnType<Typed['byName']['putIfAbsent']>>>().toEqualTypeOf<number | undefined>()
    expectTypeOf<Typed['range']>().toEqualTypeOf<AsyncIterable<KvEntry<User>>>()
    expectTypeOf<Typed['watch']>().toEqualTypeOf<Watch<User>>()
  })
})
