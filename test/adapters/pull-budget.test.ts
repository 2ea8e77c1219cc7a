import { describe, expect, it } from 'vitest'
import { PullBudget, pullBytesFor } from '../../src/adapters/nats/pull-budget.ts'

/** Of ten bytes. Who asks has its name in `went` when it has them. */
function ten() {
  const budget = new PullBudget(10)
  const went: string[] = []
  const ask = async (name: string, bytes: number) => {
    await budget.take(bytes)
    went.push(name)
  }
  return { budget, went, ask }
}
const settled = async () => {
  for (let i = 0; i < 10; i++) await Promise.resolve()
}

describe('the budget of pulls', () => {
  it('is never exceeded, and full again when all is given back', async () => {
    const { budget, went, ask } = ten()
    void ask('a', 4)
    void ask('b', 6)
    void ask('c', 1)
    await settled()
    expect(went).toEqual(['a', 'b'])
    expect(budget.taken).toBe(10)
    budget.giveBack(4)
    await settled()
    expect(went).toEqual(['a', 'b', 'c'])
    expect(budget.taken).toBe(7)
    budget.giveBack(6)
    budget.giveBack(1)
    expect(budget.taken).toBe(0)
  })

  it('goes in the order in which it was asked for, also where a later one would have room (B2)', async () => {
    const { budget, went, ask } = ten()
    void ask('a', 8)
    void ask('large', 9)
    void ask('small', 1)
    await settled()
    expect(went).toEqual(['a'])
    expect(budget.tryTake(1)).toBe(false)
    budget.giveBack(8)
    await settled()
    expect(went).toEqual(['a', 'large', 'small'])
  })

  it('lets one pull go that is larger than all of it, alone (B1)', async () => {
    const { budget, went, ask } = ten()
    void ask('small', 1)
    void ask('huge', 25)
    await settled()
    expect(went).toEqual(['small'])
    budget.giveBack(1)
    await settled()
    expect(went).toEqual(['small', 'huge'])
    expect(budget.tryTake(1)).toBe(false)
    budget.giveBack(25)
    expect(budget.tryTake(10)).toBe(true)
  })
})

describe('a pull', () => {
  it('has room for any message', () => {
    for (const maxPayload of [1_024, 1024 * 1024, 8 * 1024 * 1024]) {
      // The longest subject that a server takes by itself, and a reply subject.
      expect(pullBytesFor(maxPayload)).toBeGreaterThan(maxPayload + 2 * 4_096)
    }
  })
})
