/** A slice of `npm run fuzz`, and that nothing is left out of it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { subjectsOf } from '../../src/protocol/subjects.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'
import { Interest } from '../../src/adapters/memory/interest.ts'
import { AttackedCluster, clusterName } from './attacked-cluster.ts'
import { campaign } from './campaign.ts'
import { forms, readCorpus } from './corpus.ts'
import { decoders } from './decoders.ts'
import { doors, noSubjects } from './doors.ts'

const timeout = 120_000

describe('every way in', () => {
  it('is a door: each subject of the protocol is attacked, or is none', () => {
    const covered = new Set([...doors.flatMap(({ subjects }) => subjects), ...noSubjects])
    expect(Object.keys(subjectsOf(clusterName)).filter((name) => !covered.has(name as never))).toEqual([])
  })

  describe('of a running cluster', () => {
    let cluster: AttackedCluster
    beforeAll(async () => {
      cluster = await AttackedCluster.begin('ways in')
      await cluster.pass(5_000)
    }, timeout)
    afterAll(() => cluster.close(), timeout)

    it('is a door: whatever its parts subscribe to is sent to', () => {
      const listening = new Interest<string>()
      const patterns = new Set(cluster.heard.flatMap((transport) => [...transport.patterns]))
      for (const pattern of patterns) listening.add(pattern, pattern)
      const random = new SeededRandom('ways in')
      const reached = new Set<string>()
      for (const door of doors) {
        for (let n = 0; n < 400; n++) {
          const subject = door.at?.(random, cluster)
          if (subject !== undefined) for (const pattern of listening.match(subject)) reached.add(pattern)
        }
      }
      // The exposed client's stand for all inboxes: those of others hear the same, by the same code.
      const inboxes = [...patterns].filter((pattern) => pattern.startsWith('_INBOX.') && !pattern.includes('exposed'))
      expect(inboxes.length).toBeGreaterThan(3)
      const missed = [...patterns].filter((pattern) => !reached.has(pattern) && !inboxes.includes(pattern))
      expect(missed).toEqual([])
    })
  })
})

describe('the corpus', () => {
  const corpus = readCorpus()

  it.each(forms)('has real messages of the form %s, which are read as they were', (form) => {
    expect(corpus[form].length).toBeGreaterThan(0)
    for (const message of corpus[form]) expect(() => decoders[form](message)).not.toThrow()
  })
})

describe('a cluster under attack', () => {
  it.each(['first', 'second'])(
    'does for honest clients what it promised, whatever else it is sent (seed %s)',
    { timeout },
    async (seed) => {
      const { violations, frames, whole, refused, read, dropped, acknowledged } = await campaign({
        seed,
        frames: 12_000,
      })
      expect(violations).toEqual([])
      expect(frames).toBe(12_000)
      // It was put to the test.
      for (const count of [whole, refused, read, dropped]) expect(count).toBeGreaterThan(100)
      expect(acknowledged).toBeGreaterThan(0)
    },
  )

  it('finds what is wrong where something is', { timeout }, async () => {
    const cluster = await AttackedCluster.begin('broken')
    const { world } = cluster
    const last = world.changelog.info(0 as never)!.last
    world.changelog.append(0 as never, Buffer.from('no record'), last)
    await cluster.pass(100)
    await cluster.judge().catch(() => {})
    expect(cluster.violations.join('\n')).toContain('log 0')
    await cluster.close()
  })
})
