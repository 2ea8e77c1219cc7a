/** What `doctor` says of streams, by what JetStream answers for them (DS1). */
import { describe, expect, it } from 'vitest'
import {
  logConfig,
  logStream,
  objectBucket,
  objectsConfig,
  registryBucket,
  registryConfig,
} from '../../src/adapters/nats/stream-settings.ts'
import type { Reply } from '../../src/cli/doctor/server-link.ts'
import { checkStreams } from '../../src/cli/doctor/server.ts'
import { partitionId, type Generation } from '../../src/protocol/ids.ts'
import { subjectsOf } from '../../src/protocol/subjects.ts'

const subjects = subjectsOf('shop')
const generation = '0123456789abcdef' as Generation
const log = partitionId(0)
const registryInfo = '$JS.API.STREAM.INFO.KV_shop_registry'
const logInfo = '$JS.API.STREAM.INFO.shop_P0'
const snapshotsInfo = '$JS.API.STREAM.INFO.OBJ_shop_snapshots'

const answer = (body: Readonly<Record<string, unknown>>): Reply => ({ kind: 'answer', body })
const refusal = (code: number, number: number | undefined, description: string): Reply =>
  answer({ error: { code, ...(number === undefined ? {} : { err_code: number }), description } })

/** All is well, but for what is told otherwise. */
async function found(replies: Readonly<Record<string, Reply>>) {
  const well: Readonly<Record<string, Reply>> = {
    [registryInfo]: answer({ config: registryConfig(registryBucket('shop'), 3) }),
    [logInfo]: answer({ config: logConfig(logStream('shop', log), subjects.log(log), generation, 3) }),
    [snapshotsInfo]: answer({ config: objectsConfig(objectBucket('shop'), 3) }),
  }
  const link = { info: undefined, ask: async (subject: string) => ({ ...well, ...replies })[subject]! }
  return checkStreams(link, subjects, 1)
}

const unclear: readonly (readonly [string, Reply, RegExp])[] = [
  ['gives no answer, as one without a leader', { kind: 'silence', reason: 'timeout' }, /timeout/],
  ['is temporarily unavailable', refusal(503, 10_008, 'JetStream system temporarily unavailable'), /temporarily/],
  ['is refused by a server that has not recovered', refusal(503, undefined, 'service unavailable'), /unavailable/],
  ['is asked for where nobody listens', { kind: 'nobody' }, /nobody answers/],
]

describe('the streams of a cluster', () => {
  it('are fine where they are as they have to be', async () => {
    expect((await found({})).map(({ mark }) => mark)).toEqual(['ok', 'ok', 'ok', 'ok'])
  })

  it.each([
    ['fail', 'is gone', refusal(404, 10_059, 'stream not found'), /is gone/],
    ['warn', 'cannot be looked at', { kind: 'nobody' }, /nobody answers/],
    ['skip', 'may not be looked at', { kind: 'denied' }, /may not look/],
    [
      'fail',
      'is set up otherwise',
      answer({ config: { ...objectsConfig(objectBucket('shop'), 3), max_age: 1 } }),
      /max_age/,
    ],
  ] as const)('say %s of the snapshots where their stream %s', async (mark, _, reply, says) => {
    const ofSnapshots = (await found({ [snapshotsInfo]: reply })).filter(({ check }) => check === 'snapshots')
    expect(ofSnapshots).toEqual([expect.objectContaining({ mark, says: expect.stringMatching(says) })])
  })

  it('have one copy where one of them has, that of the snapshots too', async () => {
    const one = answer({ config: objectsConfig(objectBucket('shop'), 1) })
    expect(await found({ [snapshotsInfo]: one })).toContainEqual(
      expect.objectContaining({ mark: 'warn', check: 'replicas', says: expect.stringContaining('one copy') }),
    )
  })

  it('are gone where JetStream says that there is none', async () => {
    const gone = refusal(404, 10_059, 'stream not found')
    expect(await found({ [logInfo]: gone })).toContainEqual(
      expect.objectContaining({ mark: 'fail', check: 'log', says: 'the log of partition 0 is gone (stream shop_P0)' }),
    )
    expect(await found({ [registryInfo]: gone })).toEqual([
      expect.objectContaining({ mark: 'fail', says: 'there is no cluster "shop" on this server' }),
    ])
  })

  it.each(unclear)('are not called lost when one %s', async (_, reply, reason) => {
    const ofLog = (await found({ [logInfo]: reply })).filter(({ check }) => check === 'log')
    expect(ofLog).toEqual([expect.objectContaining({ mark: 'warn', says: expect.stringMatching(reason) })])
    const ofRegistry = await found({ [registryInfo]: reply })
    expect(ofRegistry).toEqual([
      expect.objectContaining({ mark: 'warn', check: 'registry', says: expect.stringMatching(reason) }),
    ])
    for (const { says, advice } of [...ofLog, ...ofRegistry]) {
      expect(`${says} ${advice}`).not.toMatch(/is gone|no cluster|--cluster|operator/)
    }
  })

  it('are not called lost where the login may look at some of them only', async () => {
    const ofLog = (await found({ [logInfo]: { kind: 'denied' } })).filter(({ check }) => check === 'log')
    expect(ofLog).toEqual([expect.objectContaining({ mark: 'skip' })])
  })
})
