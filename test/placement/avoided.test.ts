import { describe, expect, it } from 'vitest'
import { Avoided, maxAvoided } from '../../src/placement/avoided.ts'
import { incarnation, partitionId, type NodeId } from '../../src/protocol/ids.ts'

const node = (n: number) => ({ id: `n${n}` as NodeId, incarnation: incarnation('a') })
const p = partitionId

describe('what is avoided', () => {
  it('is avoided for two seconds, and for twice as long each time that it is reported again, up to a minute (B1)', () => {
    const avoided = new Avoided()
    const forMs: number[] = []
    let nowMs = 0
    for (let i = 0; i < 7; i++) {
      avoided.add(node(1), p(1), nowMs)
      const fromMs = nowMs
      while (avoided.of(node(1), nowMs).has(p(1))) nowMs += 500
      forMs.push(nowMs - fromMs)
      avoided.forgetOld(nowMs)
    }
    expect(forMs).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
    avoided.forgetOld(nowMs + 60_000)
    expect(avoided.count).toBe(0)
  })

  it('is one partition at one process of a node', () => {
    const avoided = new Avoided()
    avoided.add(node(1), p(1), 0)
    expect(avoided.of(node(1), 1)).toEqual(new Map([[p(1), 1_999]]))
    expect(avoided.of(node(2), 1)).toEqual(new Map())
    expect(avoided.of({ ...node(1), incarnation: incarnation('b') }, 1)).toEqual(new Map())
  })

  it('is bounded: the oldest pair may be tried again (B2)', () => {
    const avoided = new Avoided()
    for (let n = 0; n < maxAvoided + 10; n++) avoided.add(node(n), p(1), n / 100)
    expect(avoided.count).toBe(maxAvoided)
    expect([9, 10].map((n) => avoided.of(node(n), 100).size)).toEqual([0, 1])
  })

  it('is forgotten at once when an operator says so', () => {
    const avoided = new Avoided()
    for (let i = 0; i < 3; i++) avoided.add(node(1), p(1), 0)
    avoided.forgetAll()
    expect([avoided.count, avoided.of(node(1), 1).size]).toEqual([0, 0])
    // The next time is the first again.
    avoided.add(node(1), p(1), 0)
    expect(avoided.of(node(1), 0)).toEqual(new Map([[p(1), 2_000]]))
  })
})
