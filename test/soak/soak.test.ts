/** A short piece of `npm run soak`, and that it finds what is wrong where something is. */
import { expect, it } from 'vitest'
import { SoakWorld, usual, type SoakSettings } from './world.ts'

async function soaked(settings: Partial<SoakSettings>, hours: number) {
  const world = new SoakWorld({ ...usual, nodes: 3, watchers: 3, seed: 1, gossip: false, ...settings })
  await world.run(hours)
  return world.result
}

it('evicts nobody who lives, and who is killed within a second and a half', async () => {
  const { falseEvictions, detections, kills } = await soaked({}, 0.2)
  expect(falseEvictions).toBe(0)
  expect(kills).toBeGreaterThan(0)
  expect(detections).toHaveLength(kills)
  expect(Math.max(...detections)).toBeLessThan(1_500)
})

it('suspects who is killed, and nobody else', async () => {
  const { falseSuspicions, suspicions, kills } = await soaked({ gossip: true }, 0.1)
  expect(falseSuspicions).toBe(0)
  expect(suspicions.length).toBeGreaterThanOrEqual(kills)
})

it('would find leases whose term is too short for a network', async () => {
  expect((await soaked({ loss: 0.5 }, 0.1)).falseEvictions).toBeGreaterThan(0)
})

it('would find suspicions that come too soon', async () => {
  expect((await soaked({ gossip: true, loss: 0.6 }, 0.05)).falseSuspicions).toBeGreaterThan(0)
})
