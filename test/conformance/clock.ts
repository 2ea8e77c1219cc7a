/**
 * What every adapter of the Clock port keeps. The suite waits for timers of a few milliseconds: on a virtual clock, let it run
 * freely (`VirtualClock.start`).
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Clock } from '../../src/ports/clock.ts'

export interface ClockWorld {
  readonly clock: Clock
  close(): Promise<void>
}

export function clockConformance(name: string, makeWorld: () => Promise<ClockWorld>): void {
  describe(`${name} keeps the rules of a clock`, () => {
    let world: ClockWorld
    let clock: Clock
    beforeEach(async () => {
      world = await makeWorld()
      clock = world.clock
    })
    afterEach(() => world.close())

    const after = (delayMs: number) => new Promise<void>((done) => void clock.setTimeout(done, delayMs))

    it('calls back once, and never before the delay is over', async () => {
      for (const delayMs of [0, 1, 2, 5, 7.5]) {
        let calls = 0
        const start = clock.monotonic()
        clock.setTimeout(() => calls++, delayMs)
        expect(calls).toBe(0)
        await after(delayMs + 3)
        expect(calls).toBe(1)
        expect(clock.monotonic() - start).toBeGreaterThanOrEqual(delayMs + 3)
      }
    })

    it('is not early by the monotonic clock', async () => {
      for (let i = 0; i < 20; i++) {
        const start = clock.monotonic()
        await after(1)
        expect(clock.monotonic() - start).toBeGreaterThanOrEqual(1)
      }
    })

    it('calls in the order of the times, whatever the order of the calls', async () => {
      const order: string[] = []
      clock.setTimeout(() => order.push('later'), 12)
      clock.setTimeout(() => order.push('sooner'), 2)
      await after(16)
      expect(order).toEqual(['sooner', 'later'])
    })

    it('does not call what was cleared; clearing twice, late, or nothing does no harm', async () => {
      const order: string[] = []
      const cleared = clock.setTimeout(() => order.push('cleared'), 2)
      const called = clock.setTimeout(() => order.push('called'), 2)
      clock.clearTimeout(cleared)
      clock.clearTimeout(cleared)
      clock.clearTimeout(undefined)
      await after(6)
      clock.clearTimeout(called)
      expect(order).toEqual(['called'])
    })

    it('clears a timer that is due at the same moment', async () => {
      const order: string[] = []
      const timers = [0, 1].map((i) =>
        clock.setTimeout(() => {
          order.push(`${i}`)
          clock.clearTimeout(timers[1 - i])
        }, 2),
      )
      await after(6)
      expect(order).toEqual(['0'])
    })

    it('defers behind the work that is ready, in order, and before timers that are not due', async () => {
      const order: string[] = []
      const timer = clock.setTimeout(() => order.push('timer'), 3_600_000)
      const last = new Promise<void>((done) => {
        clock.defer(() => order.push('deferred 1'))
        clock.defer(() => {
          order.push('deferred 2')
          clock.defer(() => {
            order.push('deferred again')
            done()
          })
        })
      })
      void Promise.resolve().then(() => order.push('microtask'))
      order.push('now')
      await last
      clock.clearTimeout(timer)
      expect(order).toEqual(['now', 'microtask', 'deferred 1', 'deferred 2', 'deferred again'])
    })

    it('waits for a delay that is longer than a native timer can', async () => {
      let called = false
      const timer = clock.setTimeout(() => (called = true), 2 ** 31 + 5)
      await after(5)
      expect(called).toBe(false)
      clock.clearTimeout(timer)
    })

    it('refuses a delay that is no number', () => {
      expect(() => clock.setTimeout(() => {}, Number.NaN)).toThrow(RangeError)
      expect(() => clock.setTimeout(() => {}, Number.POSITIVE_INFINITY)).toThrow(RangeError)
    })

    it('goes on, and never back', async () => {
      const wall = clock.now()
      expect(wall).toBeGreaterThan(Date.UTC(2020))
      let last = clock.monotonic()
      for (let i = 0; i < 5; i++) {
        await after(1)
        const next = clock.monotonic()
        expect(next).toBeGreaterThan(last)
        last = next
      }
      expect(clock.now()).toBeGreaterThanOrEqual(wall)
    })
  })
}
