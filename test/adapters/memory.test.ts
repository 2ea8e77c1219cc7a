import { MemoryWorld, type MemoryProcess } from '../../src/adapters/memory/world.ts'
import type { HoldfastEvent } from '../../src/ports/observer.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'
import { changelogConformance } from '../conformance/changelog.ts'
import { objectsConformance } from '../conformance/objects.ts'
import { registryConformance } from '../conformance/registry.ts'
import { storeConformance } from '../conformance/store.ts'
import { transportConformance } from '../conformance/transport.ts'

/** A world whose time runs by itself. */
function runningWorld() {
  const world = new MemoryWorld({ random: new SeededRandom('conformance') })
  world.clock.start()
  return { world, close: async () => world.clock.stop() }
}

transportConformance(
  'the transport in memory',
  async () => {
    const { world, close } = runningWorld()
    const processes = new Map<unknown, MemoryProcess>()
    const thrown: unknown[] = []
    const observer = {
      emit: (event: HoldfastEvent) => void (event.type === 'handler.threw' && thrown.push(event.error)),
    }
    const becomes = (process: MemoryProcess, connected: boolean) =>
      new Promise<void>((resolve) => {
        const watch = process.transport.onStatus(() => {
          if (process.transport.connected !== connected) return
          watch.close()
          resolve()
        })
      })
    return {
      thrown,
      connect: async () => {
        const process = world.start(`node-${processes.size}`, observer)
        processes.set(process.transport, process)
        return process.transport
      },
      sever: async (transport) => {
        const process = processes.get(transport)!
        const noticed = becomes(process, false)
        process.cut()
        await noticed
      },
      heal: async (transport) => {
        const process = processes.get(transport)!
        const back = becomes(process, true)
        process.heal()
        await back
      },
      close,
    }
  },
  { breakable: true },
)

changelogConformance(
  'the changelog in memory',
  async () => {
    const { world, close } = runningWorld()
    const processes: MemoryProcess[] = []
    return {
      clock: world.clock,
      async connect() {
        const process = world.start(`node-${processes.length}`)
        processes.push(process)
        return process.changelog
      },
      async disconnect() {
        for (const process of processes) process.cut()
      },
      maxRecord: world.changelog.maxRecord,
      tooLarge: world.changelog.maxRecord + 1,
      close,
    }
  },
  { durable: false },
)

registryConformance(
  'the registry in memory',
  async () => {
    const { world, close } = runningWorld()
    let nodes = 0
    return { connect: async () => world.start(`node-${nodes++}`).registry, close }
  },
  { durable: false },
)

objectsConformance(
  'the objects in memory',
  async () => {
    const { world, close } = runningWorld()
    let nodes = 0
    return {
      connect: async () => world.start(`node-${nodes++}`).objects,
      damage: async (name) => world.objects.damage(name),
      close,
    }
  },
  { durable: false },
)

storeConformance('the stores in memory', async () => {
  const { world, close } = runningWorld()
  return { open: async () => world.start('node').stores, close }
})
