import { describe, expect, it } from 'vitest'
import { LoopShare } from '../../src/partition/loop-share.ts'
import type { Clock } from '../../src/ports/clock.ts'

/** Time passes as work says; a tick is over when `tick` is called. */
class Loop implements Clock {
  nowMs = 100
  #deferred: (() => void)[] = []

  now = () => this.nowMs
  monotonic = () => this.nowMs
  setTimeout = () => ({})
  clearTimeout = () => {}

  defer(run: () => void): void {
    this.#deferred.push(run)
  }

  /** As Node.js: what is deferred meanwhile is for the next one, and promises are looked after in between. */
  async tick(): Promise<void> {
    const deferred = this.#deferred
    this.#deferred = []
    for (const run of deferred) {
      run()
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

function replay(name: string, share: LoopShare, loop: Loop, recordMs: number, records: number, done: string[]) {
  return (async () => {
    for (let n = 1; n <= records; n++) {
      const turn = share.turn()
      if (turn !== undefined) await turn
      loop.nowMs += recordMs
      done.push(`${name}${n}`)
    }
  })()
}

describe('the share of replays in the event loop (LS1)', () => {
  it('lets records be taken in until the slice is over, and in the next tick again', async () => {
    const loop = new Loop()
    const done: string[] = []
    const replaying = replay('a', new LoopShare(loop, 5), loop, 2, 8, done)
    expect(done).toEqual(['a1', 'a2', 'a3'])
    await loop.tick()
    expect(done.slice(3)).toEqual(['a4', 'a5', 'a6'])
    await loop.tick()
    expect(done.slice(6)).toEqual(['a7', 'a8'])
    await replaying
  })

  it('is one for all, and each has a record in each tick', async () => {
    const loop = new Loop()
    const share = new LoopShare(loop, 5)
    const done: string[] = []
    const replaying = ['a', 'b', 'c'].map((name) => replay(name, share, loop, 3, 3, done))
    expect(done).toEqual(['a1', 'a2'])
    await loop.tick()
    expect(done.slice(2)).toEqual(['a3', 'b1', 'c1'])
    await loop.tick()
    expect(done.slice(5)).toEqual(['b2', 'b3', 'c2'])
    await loop.tick()
    expect(done.slice(8)).toEqual(['c3'])
    await Promise.all(replaying)
  })

  it('lets a record that takes longer than a slice have a tick of its own', async () => {
    const loop = new Loop()
    const done: string[] = []
    const replaying = replay('a', new LoopShare(loop, 5), loop, 50, 3, done)
    expect(done).toEqual(['a1'])
    await loop.tick()
    expect(done).toEqual(['a1', 'a2'])
    await loop.tick()
    await replaying
  })
})
