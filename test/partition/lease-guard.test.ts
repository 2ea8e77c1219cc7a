import { beforeEach, describe, expect, it } from 'vitest'
import { LeaseGuard } from '../../src/partition/lease-guard.ts'
import type { Clock } from '../../src/ports/clock.ts'

const termMs = 500

/** Two clocks that a test sets. */
class TwoClocks implements Clock {
  wallMs = 1_000_000
  monotonicMs = 1_000

  now(): number {
    return this.wallMs
  }

  monotonic(): number {
    return this.monotonicMs
  }

  pass(ms: number): void {
    this.wallMs += ms
    this.monotonicMs += ms
  }

  setTimeout(): never {
    throw new Error('a lease guard has no timers')
  }

  clearTimeout(): void {}

  defer(): never {
    throw new Error('a lease guard defers nothing')
  }
}

describe('what may only be said while this node is certainly the owner (R1, O3)', () => {
  let clock: TwoClocks
  let guard: LeaseGuard
  let renewals: number
  let said: string[]
  const say = (what: string) => guard.certainly((certain) => said.push(`${what} ${certain}`))

  beforeEach(() => {
    clock = new TwoClocks()
    renewals = 0
    said = []
    guard = new LeaseGuard(clock, termMs, () => renewals++)
  })

  it('is said at once under a lease', () => {
    guard.extend(clock.monotonicMs)
    say('a')
    clock.pass(termMs - 1)
    say('b')
    expect(said).toEqual(['a true', 'b true'])
    expect(renewals).toBe(0)
  })

  it('waits without one for an append that is sent after it was computed, and asks for that once', () => {
    clock.pass(10)
    say('a')
    say('b')
    expect(said).toEqual([])
    expect(renewals).toBe(1)
    clock.pass(1)
    const sentAtMs = clock.monotonicMs
    clock.pass(5)
    guard.extend(sentAtMs)
    expect(said).toEqual(['a true', 'b true'])
    expect(renewals).toBe(1)
  })

  it('is not let go by an append that was sent before it was computed; another is asked for', () => {
    const sentAtMs = clock.monotonicMs
    clock.pass(termMs)
    say('a')
    guard.extend(sentAtMs)
    expect(said).toEqual([])
    expect(renewals).toBe(2)
    guard.extend(clock.monotonicMs)
    expect(said).toEqual(['a true'])
  })

  it('is let go, each by an append sent after it, in order', () => {
    say('a')
    clock.pass(10)
    const first = clock.monotonicMs
    clock.pass(10)
    say('b')
    guard.extend(first)
    expect(said).toEqual(['a true'])
    expect(renewals).toBe(2)
    clock.pass(10)
    guard.extend(clock.monotonicMs)
    expect(said).toEqual(['a true', 'b true'])
  })

  it('is let go by an append that took longer than a term, though that gives no lease any more', () => {
    say('a')
    const sentAtMs = clock.monotonicMs
    clock.pass(termMs * 3)
    guard.extend(sentAtMs)
    expect(said).toEqual(['a true'])
    say('b')
    expect(said).toEqual(['a true'])
    expect(renewals).toBe(2)
  })

  it('waits as soon as the clocks disagree, and is not let go by what was sent before that was seen', () => {
    guard.extend(clock.monotonicMs)
    clock.pass(10)
    const before = clock.monotonicMs
    clock.pass(10)
    clock.wallMs += termMs
    say('a')
    expect(said).toEqual([])
    guard.extend(before)
    expect(said).toEqual([])
    clock.pass(10)
    guard.extend(clock.monotonicMs)
    expect(said).toEqual(['a true'])
    say('b')
    expect(said).toEqual(['a true', 'b true'])
  })

  it('is never said once the lease was given up, whatever is committed after', () => {
    guard.extend(clock.monotonicMs)
    say('a')
    clock.pass(termMs)
    say('b')
    guard.end()
    expect(said).toEqual(['a true', 'b false'])
    guard.extend(clock.monotonicMs)
    say('c')
    guard.end()
    expect(said).toEqual(['a true', 'b false', 'c false'])
    expect(renewals).toBe(1)
  })

  it('may ask for more while it is let go', () => {
    guard.certainly((certain) => {
      said.push(`outer ${certain}`)
      say('inner')
    })
    clock.pass(termMs * 2)
    guard.extend(clock.monotonicMs - termMs * 2)
    expect(said).toEqual(['outer true'])
    expect(renewals).toBeGreaterThan(1)
    guard.extend(clock.monotonicMs)
    expect(said).toEqual(['outer true', 'inner true'])
  })

  it('is not let go by records that are void', () => {
    say('a')
    guard.extend(Number.NEGATIVE_INFINITY)
    expect(said).toEqual([])
  })
})
