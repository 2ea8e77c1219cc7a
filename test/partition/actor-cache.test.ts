import { describe, expect, it } from 'vitest'
import { ActorCache, absent, type CachedActor } from '../../src/partition/actor-cache.ts'
import { rev } from '../../src/protocol/ids.ts'

const of = (bytes: number) => ({ ...absent(rev(1)), state: new Uint8Array(bytes) })

describe('cached actors', () => {
  it('stay within their budget, also where those that are there grow and none comes', () => {
    const cache = new ActorCache(() => 100_000)
    const actors = Array.from({ length: 100 }, (_, i) => cache.add(`a${i}`, of(100), 0))
    for (const actor of actors) cache.commit(actor, of(5_000))
    expect(cache.bytes).toBeLessThanOrEqual(100_000)
    expect(cache.size).toBeGreaterThan(10)
    expect(cache.get('a99')?.committed.state).toHaveLength(5_000)
  })

  it('are beyond it only as long as they are held', () => {
    const cache = new ActorCache(() => 10_000)
    const held: CachedActor[] = Array.from({ length: 300 }, (_, i) => cache.add(`a${i}`, of(1_000), 1))
    expect(cache.size).toBe(300)
    for (const actor of held) actor.holds--
    for (let i = 0; i < 20; i++) cache.add(`b${i}`, of(10), 0)
    expect(cache.bytes).toBeLessThanOrEqual(10_000)
  })

  it('leave where the budget shrinks', () => {
    let budgetBytes = 100_000
    const cache = new ActorCache(() => budgetBytes)
    for (let i = 0; i < 50; i++) cache.add(`a${i}`, of(1_000), 0)
    budgetBytes = 20_000
    for (let i = 0; i < 3; i++) cache.add(`b${i}`, of(10), 0)
    expect(cache.bytes).toBeLessThanOrEqual(20_000)
  })
})
