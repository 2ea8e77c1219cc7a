/** What once did harm, and what bounds it now. The fuzzer (test/fuzz) finds such things; here they stay found. */
import { describe, expect, it } from 'vitest'
import { inputOf } from '../../actors/gateway.ts'
import { Routing } from '../../src/client/routing.ts'
import { ScanRows } from '../../src/client/scan-rows.ts'
import { decodeLease } from '../../src/membership/lease.ts'
import { decodeNodeRequest } from '../../src/placement/control.ts'
import { isHoldfastError, messageOf } from '../../src/protocol/errors.ts'
import { decodeReplyFrame, maxRequestsInFrame } from '../../src/protocol/frames.ts'
import { generation, seq, type NodeId } from '../../src/protocol/ids.ts'
import { subjectsOf } from '../../src/protocol/subjects.ts'
import { decodeInput, decodeValue, encodeValue } from '../../src/protocol/values.ts'
import { packed, repeated } from '../fuzz/hostile-bytes.ts'

const invalid = expect.objectContaining({ code: 'INVALID' }) as unknown

describe('a message that is small to send and long to read', () => {
  it.each([
    ['empty objects', repeated(Buffer.of(0x80), 100_000)],
    ['empty lists', repeated(Buffer.of(0x90), 100_000)],
    ['keys', packed(Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`k${i}`, 1])))],
    ['dates', repeated(Buffer.of(0xd6, 0xff, 0, 0, 0, 1), 100_000)],
  ])('is INVALID as an input, though it is a value: %s (V7)', (_, bytes) => {
    expect(() => decodeInput(bytes)).toThrow(invalid)
    expect(() => decodeValue(bytes)).not.toThrow()
  })

  it.each(['[]', '{}', '[{"a":1}]'])('is INVALID as JSON: many of %s (T1)', (item) => {
    const list = (count: number) => Buffer.from(`[${new Array(count).fill(item).join(',')}]`)
    expect(() => inputOf(list(40_000))).toThrow(invalid)
    expect(inputOf(list(1_000))).toHaveLength(1_000)
  })

  it('is what it was where its signs are inside of a text', () => {
    const text = '[{,:"\\'.repeat(20_000)
    expect(inputOf(Buffer.from(JSON.stringify(text)))).toBe(text)
  })

  it('is no frame of replies, nor an order to a node', () => {
    const replies = Array.from({ length: maxRequestsInFrame + 1 }, () => [1, 0, 0]).flat()
    expect(() => decodeReplyFrame(encodeValue([3, 's', new Uint8Array(0), ...replies]))).toThrow(invalid)
    expect(() => decodeNodeRequest(Buffer.from(`{"op":"clock","more":"${'x'.repeat(70_000)}"}`))).toThrow(invalid)
  })
})

describe('a lie', () => {
  it('about who owns what is put right by who is certain (P2)', () => {
    const routing = new Routing(subjectsOf('shop'))
    const view = (version: number, owner: string) => ({ version, owners: [owner as NodeId] })
    expect(routing.learn(view(5, 'n1'))).toBe(true)
    expect(routing.learn(view(2 ** 53 - 1, 'nobody'))).toBe(true)
    expect(routing.learn(view(6, 'n1'))).toBe(false)
    expect(routing.learn(view(6, 'n1'), true)).toBe(true)
    expect(routing.batchFor(0, false).subject).toBe('shop.node.n1.frame')
  })

  it('about a page that has more behind it ends the reading, which would have no end (R2)', async () => {
    const page = { kind: 'page', generation: generation('g'), seq: seq(1), more: true, last: null, count: 0 } as const
    const rows = new ScanRows(() => Promise.resolve({ ...page, snapshot: null, rows: [] }))
    await expect(rows.fill()).rejects.toMatchObject({ code: 'INTERNAL' })
  })

  it('about a weight is no lease', () => {
    const lease = { id: 'n1', incarnation: 'i', state: 'alive', host: 'h', zone: 'z', draining: false, renewal: 1 }
    expect(decodeLease(Buffer.from(JSON.stringify({ ...lease, weight: 1 })))).toMatchObject({ weight: 1 })
    const endless = JSON.stringify({ ...lease, weight: 0 }).replace('"weight":0', '"weight":1e999')
    expect(() => decodeLease(Buffer.from(endless))).toThrow(invalid)
  })
})

describe('what was thrown', () => {
  it('has a sentence, whatever it is (H3)', () => {
    const { proxy, revoke } = Proxy.revocable(new Error('x'), {})
    revoke()
    for (const thrown of [proxy, Object.assign(new Error('x'), { message: Symbol('s') }), Object.create(null), 7n]) {
      expect(isHoldfastError(thrown)).toBe(false)
      expect(typeof messageOf(thrown)).toBe('string')
    }
  })
})
