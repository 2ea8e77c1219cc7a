import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseCommandId } from '../../src/client/command-id.ts'
import { addressOf } from '../../src/client/session.ts'
import { isHoldfastError } from '../../src/protocol/errors.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'
import { failure, FakeCluster, moved, value, type Behave } from './fake-cluster.ts'

/**
 * Owners that share one truth: what was applied, by id, once each. They answer truly, or wrongly by refusing, or not at all, over a
 * network that loses messages and connections.
 */
async function run(seed: string) {
  const random = new SeededRandom(seed)
  const cluster = new FakeCluster({ seed })
  const { clock } = cluster
  const applied = new Map<string, number>()
  let applications = 0
  const running = new Set<string>()
  const lows = new Map<string, number>()
  const violations: string[] = []
  const refusing = random.chance(0.4)
  const behave: Behave = (request, frame, reply) => {
    const id = `${frame.session}:${request.number}`
    lows.set(frame.session, Math.max(lows.get(frame.session) ?? 0, frame.low))
    const execute = () => {
      // An owner has forgotten what is below `low`: it could not tell a late attempt from a new command.
      if (!applied.has(id) && request.number < (lows.get(frame.session) ?? 0))
        violations.push(`${id} was settled and can still happen`)
      if (!applied.has(id)) applied.set(id, ++applications)
      return value(applied.get(id))
    }
    const dice = refusing && random.chance(0.9) ? random.between(0.6, 0.9) : random.next()
    if (dice < 0.35) return execute()
    if (dice < 0.5 && random.chance(0.7)) execute()
    if (dice < 0.45) return null
    if (dice < 0.5) return failure('UNKNOWN')
    if (dice < 0.6) {
      running.add(id)
      clock.setTimeout(() => reply(execute()), random.between(0, 800))
      return undefined
    }
    // A refusal is true of its own attempt only.
    if (dice < 0.7) return failure('RETRY')
    if (dice < 0.75) return failure('FENCED')
    if (dice < 0.76) return failure('OVERLOADED', 20)
    // The handler threw, which nobody remembers: only where it had not run, and does not run.
    if (dice < 0.78) return applied.has(id) ? execute() : running.has(id) ? null : failure('FAILED')
    // It does not look at what was done.
    if (dice < 0.8) return failure('NOT_FOUND')
    if (dice < 0.9) return moved(random.pick(['a', 'b', null] as const), 1)
    return null
  }
  // Frames to different nodes may overtake each other.
  const inOrder = (): Behave => {
    let low = 0
    return (request, frame, reply) => {
      if (frame.low < low) violations.push(`low went back to ${frame.low}`)
      low = frame.low
      return behave(request, frame, reply)
    }
  }
  cluster.node('a', inOrder(), [0, 1, 2, 3])
  cluster.node('b', inOrder(), [])
  const { session, process } = cluster.client({ attemptTimeoutMs: 200 })
  await clock.settle(session.whenPlaced(), 1_000)
  process.links.hub.dropProbability = random.between(0, 0.2)
  let down = false
  const trouble = () => {
    if (random.chance(0.3)) {
      if (down) process.heal()
      else process.cut({ noticeAfterMs: random.between(0, 100) })
      down = !down
    }
    clock.setTimeout(trouble, random.between(10, 400))
  }
  trouble()
  const outcomes: Promise<{ id: string; code: string; got: unknown }>[] = []
  for (let n = 1; n <= 60; n++) {
    const id = `${session.id}:${n}`
    const timeoutMs = random.between(1, 1_500)
    const result = session.request('command', addressOf('t', `k${n % 7}`), 'do', null, { timeoutMs })
    outcomes.push(
      result.then(
        (got) => ({ id, code: 'OK', got }),
        (error: unknown) => {
          if (!isHoldfastError(error)) throw error as Error
          if (error.code === 'UNKNOWN') expect(error.id).toBe(id)
          return { id, code: error.code, got: undefined }
        },
      ),
    )
    await clock.advance(random.between(0, 30))
  }
  const settled = await clock.settle(Promise.all(outcomes), 10_000)
  // What is still on its way comes.
  await clock.advance(2_000)
  return { cluster, session, process, applied, settled, violations, isDown: () => down }
}

describe('whatever owners and the network do (R2)', () => {
  it('a reply is the first one, a refusal did not happen, and a repeated UNKNOWN tells which it was', async () => {
    const seen = new Set<string>()
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 1_000_000 }), async (seed) => {
        const { cluster, session, process, applied, settled, violations, isDown } = await run(`outcomes ${seed}`)
        if (isDown()) process.heal()
        process.links.hub.dropProbability = 0
        for (const { id, code, got } of settled) {
          seen.add(code)
          if (code === 'OK') expect(got).toBe(applied.get(id))
          else if (code !== 'UNKNOWN') expect(applied.has(id), `${id} was reported ${code} and happened`).toBe(false)
        }
        // Owners that now do as they should.
        for (const node of cluster.nodes.values()) {
          node.behave = (request, frame) => {
            const id = `${frame.session}:${request.number}`
            if (!applied.has(id)) applied.set(id, -1)
            return value(applied.get(id))
          }
        }
        for (const { id } of settled.filter(({ code }) => code === 'UNKNOWN')) {
          const before = applied.get(id) ?? -1
          const key = `k${Number(id.split(':')[1]) % 7}`
          const again = session.request('command', addressOf('t', key), 'do', null, { id: parseCommandId(id) })
          expect(await cluster.clock.settle(again, 11_000)).toBe(before)
        }
        expect(violations).toEqual([])
        expect(session.outstanding).toBe(0)
        session.close()
      }),
      { numRuns: 60 },
    )
    // It would prove nothing if some of these never came up.
    expect([...seen]).toEqual(
      expect.arrayContaining(['OK', 'UNKNOWN', 'RETRY', 'OVERLOADED', 'NOT_FOUND', 'FAILED', 'TIMEOUT']),
    )
  })
})
