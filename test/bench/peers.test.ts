import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { PeerAbsent, type StartPeer } from '../../bench/peers/peer.ts'
import type { Measured } from '../../bench/rounds.ts'
import type { Bench } from '../../bench/scene.ts'
import { peerScene } from '../../bench/scenes/peers.ts'
import { Teardown } from '../../examples/support/teardown.ts'

/** Runs the scene of this peer, with few keys and short rounds. */
async function measure(start: StartPeer) {
  const reported = new Map<string, Measured>()
  const absences: string[] = []
  const bench: Bench = {
    folder: 'nowhere',
    teardown: new Teardown(),
    troubles: [],
    profile: undefined,
    rounds: 1,
    seconds: 0.02,
    keys: 3,
    wants: (name) => name !== 'redis.commands.w256',
    report: (name, figure) => void reported.set(name, figure),
    absent: (names, reason) => void absences.push(`${names.join(' ')}: ${reason}`),
    used: () => {},
    value: () => undefined,
  }
  await peerScene('redis', start).run(bench)
  return { reported, absences }
}

/** Counts, but for what `lapse` makes of the count of every so many-th increment. */
const counting =
  (lapse: (count: number) => number, closed = () => {}): StartPeer =>
  async () => {
    const counts = new Map<string, number>()
    let increments = 0
    return {
      name: 'redis',
      version: 'in memory',
      async increment(key) {
        await delay(1)
        const count = (counts.get(key) ?? 0) + 1
        counts.set(key, ++increments === 5 ? lapse(count) : count)
        return counts.get(key)!
      },
      close: async () => closed(),
    }
  }

describe('a peer', () => {
  it('is measured as far as was asked for, and closed', async () => {
    let closed = 0
    const { reported, absences } = await measure(
      counting(
        (count) => count,
        () => closed++,
      ),
    )
    expect([...reported.keys()]).toEqual(['redis.commands.w1.p50', 'redis.commands.w1024'])
    expect(reported.get('redis.commands.w1.p50')!.value).toBeGreaterThan(0.9)
    expect(absences).toEqual([])
    expect(closed).toBe(1)
  })

  it('that loses an increment fails (P1)', async () => {
    await expect(measure(counting((count) => count - 1))).rejects.toThrow(/has \d+ writes after \d+ acknowledged/)
  })

  it('that counts one twice fails (P1)', async () => {
    await expect(measure(counting((count) => count + 1))).rejects.toThrow(/has \d+ writes after \d+ acknowledged/)
  })

  it('that cannot be had is absent, with the reason', async () => {
    const { reported, absences } = await measure(() => Promise.reject(new PeerAbsent('there is none here')))
    expect(reported.size).toBe(0)
    expect(absences).toEqual(['redis.commands.w1.p50 redis.commands.w256 redis.commands.w1024: there is none here'])
  })

  it('that does not start for another reason fails', async () => {
    await expect(measure(() => Promise.reject(new Error('its port is taken')))).rejects.toThrow('its port is taken')
  })
})
