import { describe, expect, it } from 'vitest'
import { defaultNodeMemory, NodeMemory } from '../../src/partition/node-memory.ts'
import { maxPartitions } from '../../src/protocol/partitioning.ts'

describe('what the partitions of a node share', () => {
  it('is their own bound while they are few, and an even share of the whole where they are many', () => {
    const memory = new NodeMemory({ ...defaultNodeMemory, cacheBytes: 1_000 })
    const leave = Array.from({ length: 4 }, () => memory.join())
    expect(memory.share('cacheBytes', 100)).toBe(100)
    expect(memory.share('cacheBytes', 500)).toBe(250)
    for (const each of leave.slice(1)) each()
    expect(memory.share('cacheBytes', 500)).toBe(500)
  })

  it('is never more than the whole, however many there are', () => {
    const memory = new NodeMemory()
    for (let n = 0; n < maxPartitions; n++) memory.join()
    for (const of of ['cacheBytes', 'tailBytes', 'uncommittedBytes'] as const) {
      expect(memory.share(of, Number.MAX_SAFE_INTEGER) * maxPartitions).toBe(defaultNodeMemory[of])
    }
  })

  it('has room for so many bytes of inputs, of whatever partition', () => {
    const memory = new NodeMemory({ ...defaultNodeMemory, mailboxBytes: 1_000 })
    memory.waitingBytes += 900
    expect([100, 101].map((bytes) => memory.hasRoom(bytes))).toEqual([true, false])
    expect(memory.metrics()).toMatchObject([{ name: 'holdfast_node_mailbox_bytes', value: 900, limit: 1_000 }])
  })
})
