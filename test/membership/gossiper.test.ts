import { expect, it } from 'vitest'
import { MemoryWorld } from '../../src/adapters/memory/world.ts'
import { defaultGossipSettings, Gossiper } from '../../src/membership/gossiper.ts'
import { silent } from '../../src/ports/observer.ts'
import { incarnation, type NodeId } from '../../src/protocol/ids.ts'
import { subjectsOf } from '../../src/protocol/subjects.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'

it('asks everybody whom the registry knows, also where the first of them never answer', async () => {
  const world = new MemoryWorld({ random: new SeededRandom(1) })
  const { transport, clock, random } = world.start('a')
  const subjects = subjectsOf('test')
  const strangers = ['b', 'c', 'd', 'e', 'f'] as NodeId[]
  const asked = new Set<NodeId>()
  const listener = world.start('listener').transport
  for (const id of strangers) listener.subscribe(subjects.gossip(id), () => void asked.add(id))
  const gossiper = new Gossiper({
    ...{ transport, clock, random, subjects, observer: silent, settings: defaultGossipSettings },
    self: { id: 'a' as NodeId, incarnation: incarnation('a1') },
    boot: 1,
    details: () => ({ host: '', zone: '', version: '', load: 0, leaving: false, partitions: [] }),
    seeds: () => strangers,
  })
  gossiper.start()
  await world.clock.runUntil(() => asked.size === strangers.length, 60 * defaultGossipSettings.tickMs)
  gossiper.stop()
  expect([...asked].toSorted()).toEqual(strangers)
})
