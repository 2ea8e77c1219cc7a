import { expect, it } from 'vitest'
import { VirtualClock } from '../../src/adapters/memory/virtual-clock.ts'
import { patiently } from '../../src/node/patiently.ts'
import { HoldfastError, type ErrorCode } from '../../src/protocol/errors.ts'

/** Fails so many times, a second each, and then answers with how often it was asked. */
function asked(clock: VirtualClock, failures: number, code: ErrorCode) {
  let times = 0
  return async () => {
    await new Promise<void>((resolve) => clock.setTimeout(resolve, 1_000))
    if (++times <= failures) throw new HoldfastError(code, 'no leader')
    return times
  }
}

it.each(['RETRY', 'UNKNOWN'] as const)('asks again where the answer is %s', async (code) => {
  const clock = new VirtualClock()
  expect(await clock.settle(patiently(clock, asked(clock, 5, code)), 60_000)).toBe(6)
  expect(clock.monotonic()).toBe(7_000)
})

it('gives up after 30 s, with the last answer', async () => {
  const clock = new VirtualClock()
  await expect(clock.settle(patiently(clock, asked(clock, 1_000, 'RETRY')), 60_000)).rejects.toMatchObject({
    code: 'RETRY',
  })
  expect(clock.monotonic()).toBeGreaterThanOrEqual(30_000)
  expect(clock.monotonic()).toBeLessThan(32_000)
})

it('does not ask again where no repetition can help', async () => {
  const clock = new VirtualClock()
  await expect(clock.settle(patiently(clock, asked(clock, 1, 'INVALID')), 60_000)).rejects.toMatchObject({
    code: 'INVALID',
  })
  expect(clock.monotonic()).toBe(1_000)
})
