/** What is missing is a fault only where it still ought to be there (AU3). The rest of an audit: test/cli/recovery.e2e.test.ts. */
import { describe, expect, it } from 'vitest'
import { catchUp } from '../../../src/partition/log-tail.ts'
import { audit, type AuditOptions } from '../../../src/partition/recovery/audit.ts'
import { cutSnapshot } from '../../../src/partition/snapshot/cut.ts'
import { openReplica } from '../../../src/partition/takeover.ts'
import { incarnation, seq, type NodeId } from '../../../src/protocol/ids.ts'
import { LogWriter } from '../log-writer.ts'
import { trimmedAsRead } from '../trimmed-as-read.ts'
import { g1, p0, PartitionWorld } from '../world.ts'

/** A log of six records, of which the first four are in a snapshot. */
async function audited(seed: string) {
  const world = new PartitionWorld(seed)
  const writer = new LogWriter(world).claim('old')
  writer.commit([{ key: 'a', state: 1 }]).commit([{ key: 'a', state: 2 }])
  const { process, events } = world.start('n1')
  const ref = { id: 'n1' as NodeId, incarnation: incarnation('n1') }
  const options = world.takeover({ process, events, ref })
  const replica = await world.settle(openReplica(options))
  await world.settle(catchUp(replica, options))
  const cut = () =>
    cutSnapshot({ ...options, replica, random: process.random, bytesPerSecond: Number.POSITIVE_INFINITY })
  await world.settle(cut())
  writer.commit([{ key: 'a', state: 3 }]).commit([{ key: 'a', state: 4 }])
  await world.settle(process.registry.create('generation.0', Buffer.from(g1)))
  const run = (changes: Partial<AuditOptions> = {}) => world.settle(audit({ ...options, ...changes }))
  return { world, writer, replica, options, cut, run }
}

describe('an audit of a partition that is at work', () => {
  it('finds nothing wrong with a log that was trimmed up to a snapshot', async () => {
    const { world, options, run } = await audited('trimmed')
    await world.settle(options.log.trim(seq(4)))
    expect(await run()).toMatchObject({ ok: true, log: { first: 4, last: 6, valid: 2 } })
  })

  it('has to be asked again where the log is trimmed while it is read', async () => {
    const { options, run } = await audited('trimmed as read')
    await expect(run({ log: trimmedAsRead(options.log, 6) })).rejects.toMatchObject({
      code: 'RETRY',
      message: expect.stringContaining('trimmed while it was read'),
    })
  })

  it('has to be asked again where a snapshot is replaced while it is read', async () => {
    const { writer, replica, options, cut, run } = await audited('replaced')
    const { objects } = options
    const replacing = Object.create(objects, {
      get: {
        value: async (name: string) => {
          for (let n = 0; n < 3; n++) {
            writer.commit([{ key: 'a', state: n }])
            await catchUp(replica, options)
            await cut()
          }
          await objects.delete(name)
          return objects.get(name)
        },
      },
    }) as typeof objects
    await expect(run({ objects: replacing })).rejects.toMatchObject({
      code: 'RETRY',
      message: expect.stringContaining('replaced while it was read'),
    })
  })

  it('finds the snapshot that is to be there and is not', async () => {
    const { options, run } = await audited('missing')
    const { objects } = options
    const losing = Object.create(objects, { get: { value: async () => null } }) as typeof objects
    expect(await run({ objects: losing })).toMatchObject({
      ok: false,
      snapshots: [{ fault: expect.stringContaining('is missing') }],
    })
  })

  it('finds the gap where nobody trims', async () => {
    const { world, run } = await audited('gap')
    world.world.changelog.purge(p0, seq(6))
    expect(await run()).toMatchObject({ ok: false, log: { fault: 'it has no record 4' } })
  })
})
