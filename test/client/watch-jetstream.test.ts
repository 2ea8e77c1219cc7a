import { jetstreamManager } from '@nats-io/jetstream'
import { connect as connectNats } from '@nats-io/transport-node'
import { afterEach, describe, expect, it } from 'vitest'
import type { Change, TypeWatchOptions, Watch } from '../../src/client/watch.ts'
import { isHoldfastError } from '../../src/protocol/errors.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { TestCluster } from '../support/cluster.ts'
import { Cart } from './watch-world.ts'

const partitions = 2

let clusters: TestCluster[] = []
afterEach(async () => {
  for (const cluster of clusters) await cluster.close()
  clusters = []
})

async function start() {
  const settings = { partition: { tailBytes: 1 } }
  const cluster = await TestCluster.open('nats', { actors: [Cart], partitions, settings })
  clusters.push(cluster)
  await cluster.start('a')
  await cluster.settled()
  const hf = await cluster.client()
  /** As an operator would: everything before the last record of each log. */
  const purge = async () => {
    const operator = await connectNats({ servers: cluster.nats!.url })
    const { streams } = await jetstreamManager(operator)
    for (let p = 0; p < partitions; p++) {
      const { state } = await streams.info(`test_P${p}`)
      await streams.purge(`test_P${p}`, { seq: state.last_seq })
    }
    await operator.close()
  }
  return { cluster, hf, purge }
}

/** Reads until `enough` says so, and leaves. */
async function take(watch: Watch<unknown>, enough: (changes: readonly Change<unknown>[]) => boolean) {
  const changes: Change<unknown>[] = []
  for await (const change of watch) {
    changes.push(change)
    if (enough(changes)) break
  }
  return changes
}

describe('a watcher that comes back to streams that were purged while the owner runs', () => {
  it('is reset for a key, a prefix and a type, and goes on right behind it', async () => {
    const { hf, purge } = await start()
    const keys = Array.from({ length: 30 }, (_, i) => `${i % 2 === 0 ? 'eu' : 'us'}/${i}`)
    const set = (n: number) => Promise.all(keys.map((key) => hf.actor(Cart, key).set(n)))
    await set(1)
    const kinds: [string, (options: TypeWatchOptions) => Watch<unknown>, readonly string[]][] = [
      ['key', (options) => hf.actor(Cart, 'eu/4').watch(options), ['eu/4']],
      [
        'prefix',
        (options) => hf.watch(Cart, { ...options, prefix: 'us/' }),
        keys.filter((key) => key.startsWith('us')),
      ],
      ['type', (options) => hf.watch(Cart, options), keys],
    ]
    const cursors: string[] = []
    for (const [, begin, of] of kinds) {
      const seen = await take(begin({ from: 'start' }), ({ length }) => length === of.length)
      cursors.push(seen.at(-1)!.cursor)
    }
    await set(2)
    await hf.actor(Cart, keys[0]!).close()
    await set(3)
    await purge()
    for (const [i, [name, begin, of]] of kinds.entries()) {
      const from = cursors[i]!
      let failed: unknown
      await take(begin({ from, onExpired: 'fail' }), () => true).catch((error: unknown) => (failed = error))
      expect(isHoldfastError(failed, 'EXPIRED'), name).toBe(true)
      let began = 0
      let writing: Promise<unknown> | undefined
      const changes = await take(begin({ from, onReset: () => void began++ }), ({ length }) => {
        if (length === of.length) writing = set(4 + i)
        return length === 2 * of.length
      })
      await writing
      const resets = changes.filter(({ reset }) => reset)
      expect(resets.map(({ key }) => key).toSorted(), name).toEqual(of.toSorted())
      expect(began, name).toBe(new Set(of.map((key) => partitionOf(key, partitions))).size)
      for (const key of of) {
        const came = changes.filter((change) => change.key === key)
        expect(
          came.map(({ reset, state }) => [reset, state]),
          `${name} ${key}`,
        ).toEqual([
          [true, { n: 3 + i }],
          [undefined, { n: 4 + i }],
        ])
        expect(came[1]!.rev).toBe(came[0]!.rev + 1)
      }
      // What it ends with is a cursor like any other.
      const next = take(begin({ from: changes.at(-1)!.cursor }), () => true)
      await hf.actor(Cart, of[0]!).set(9)
      expect((await next)[0]).toMatchObject({ key: of[0], state: { n: 9 } })
      await hf.actor(Cart, of[0]!).set(4 + i)
    }
  }, 60_000)
})
