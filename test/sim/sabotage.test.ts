import { afterEach, expect, it, vi } from 'vitest'
import { MemoryChangelog } from '../../src/adapters/memory/changelog.ts'
import { seq, type Seq } from '../../src/protocol/ids.ts'
import { Owner } from '../../src/partition/owner.ts'
import { simulate } from '../../src/testing/sim/run.ts'

/** What the simulator is for: something that is broken must not get by. */
afterEach(() => vi.restoreAllMocks())

it('finds a log that forgets records that it has accepted', async () => {
  // oxlint-disable-next-line typescript/unbound-method -- it is called with the log that it was called on
  const append = MemoryChangelog.prototype.append
  let appends = 0
  vi.spyOn(MemoryChangelog.prototype, 'append').mockImplementation(function (this: MemoryChangelog, ...args) {
    const expected: Seq = args[2]
    if (++appends === 60) return { kind: 'accepted', seq: seq(expected + 1), duplicate: false }
    return append.apply(this, args)
  })
  const { wrong, trace } = await simulate(5)
  expect(wrong).not.toEqual([])
  expect(trace).not.toBe('')
}, 300_000)

it('finds a cluster that does not become whole again', async () => {
  // oxlint-disable-next-line typescript/unbound-method -- it is called with the owner that it was called on
  const submit = Owner.prototype.submit
  let requests = 0
  // From some time on no owner answers anything.
  vi.spyOn(Owner.prototype, 'submit').mockImplementation(function (this: Owner, incoming) {
    if (++requests < 150) submit.call(this, incoming)
  })
  const { wrong } = await simulate(6)
  expect(wrong).toContainEqual(expect.stringContaining('does not answer'))
}, 300_000)
