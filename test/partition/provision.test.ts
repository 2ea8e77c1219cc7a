import { expect, it } from 'vitest'
import { knownSettings } from '../../src/partition/provision.ts'
import { PartitionWorld } from './world.ts'

it('a lease that is no whole number of milliseconds, as clusters may have, is the next one that is', async () => {
  const world = new PartitionWorld('settings')
  const { registry } = world.start('n1').process
  const settings = { format: 1, partitions: 16, leaseMs: 512.3 }
  await world.settle(registry.create('settings', Buffer.from(JSON.stringify(settings))))
  expect(await world.settle(knownSettings(registry))).toEqual({ ...settings, leaseMs: 513 })
})
