import { MemoryStreams } from '../../src/adapters/memory/inputs.ts'
import { MemoryWorld, type MemoryProcess } from '../../src/adapters/memory/world.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'
import { inputsConformance } from '../conformance/inputs.ts'
import { becomes } from './nats-world.ts'

inputsConformance('the streams in memory', async () => {
  const world = new MemoryWorld({ random: new SeededRandom('inputs') })
  world.clock.start()
  const streams = new MemoryStreams(world.clock)
  const processes: MemoryProcess[] = []
  return {
    connect: async () => {
      const process = world.start(`node-${processes.length}`)
      processes.push(process)
      return streams.connect({ link: process.links.hub, clock: process.clock })
    },
    create: async (stream) => streams.create(stream),
    remove: async (stream) => streams.remove(stream),
    add: async (stream, subject, data, headers) => streams.add(stream, subject, data, headers),
    trim: async (stream, first) => streams.trim(stream, first),
    breakAll: async () => {
      for (const process of processes) {
        process.cut()
        await becomes(process.transport, 'disconnected')
        process.heal()
        await becomes(process.transport, 'connected')
      }
    },
    close: async () => world.clock.stop(),
  }
})
