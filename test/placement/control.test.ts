/** What nodes and operators say to each other, as it is read. */
import { describe, expect, it } from 'vitest'
import {
  decodeNodeReply,
  decodeNodeRequest,
  encodeControl,
  type NodeReply,
  type NodeRequest,
} from '../../src/placement/control.ts'
import { partitionId } from '../../src/protocol/ids.ts'

const json = (value: unknown) => Buffer.from(JSON.stringify(value))
const order: NodeRequest = { op: 'snapshot', partition: partitionId(3), name: 'aB3' }
const cut = { state: 'cut', id: 'x1', seq: 9, rows: 2, bytes: 30, stored: 20, tookMs: 0 } as const
const invalid = expect.objectContaining({ code: 'INVALID' })

describe('the order of a snapshot', () => {
  it('comes as it was given', () => {
    expect(decodeNodeRequest(encodeControl(order))).toEqual(order)
  })

  it.each([
    { name: '' },
    { name: 'a-b' },
    { name: 'x'.repeat(33) },
    { name: 7 },
    { partition: -1 },
    { partition: '3' },
  ])('is INVALID with %j', (change) => {
    expect(() => decodeNodeRequest(json({ ...order, ...change }))).toThrow(invalid)
  })

  it.each<NodeReply>([
    { done: false },
    { done: true, snapshot: { state: 'waiting' } },
    { done: true, snapshot: { state: 'cutting' } },
    { done: true, snapshot: { state: 'failed', reason: 'why' } },
    { done: true, snapshot: cut },
  ])('is answered with %j, as it was said', (reply) => {
    expect(decodeNodeReply(encodeControl(reply))).toEqual(reply)
  })

  it.each([{ state: 'other' }, null, { ...cut, seq: -1 }, { ...cut, rows: '2' }, { ...cut, id: '../x' }])(
    'has no answer %j',
    (snapshot) => {
      expect(() => decodeNodeReply(json({ done: true, snapshot }))).toThrow(invalid)
    },
  )

  it('keeps the reason of a failure short', () => {
    const snapshot = { state: 'failed', reason: 'y'.repeat(5_000) }
    const reply = decodeNodeReply(json({ done: true, snapshot })).snapshot
    expect(reply).toMatchObject({ state: 'failed', reason: expect.stringMatching(/^y{1024}$/) })
  })
})
