import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EmbeddedServer, type EmbeddedConnection } from '../../src/adapters/embedded/server.ts'
import { SystemClock } from '../../src/adapters/system/clock.ts'
import type { HoldfastEvent } from '../../src/ports/observer.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'
import { changelogConformance } from '../conformance/changelog.ts'
import { registryConformance } from '../conformance/registry.ts'
import { transportConformance } from '../conformance/transport.ts'

const clock = new SystemClock()

async function embedded() {
  const dataDir = await mkdtemp(join(tmpdir(), 'holdfast-embedded-'))
  const open = () => EmbeddedServer.open({ dataDir, clock, random: new SeededRandom('conformance') })
  let server = await open()
  const thrown: unknown[] = []
  const observer = { emit: (event: HoldfastEvent) => void (event.type === 'handler.threw' && thrown.push(event.error)) }
  return {
    clock,
    thrown,
    connect: async (): Promise<EmbeddedConnection> => server.connect(observer),
    restart: async () => {
      await server.close()
      server = await open()
    },
    close: async () => {
      await server.close()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

transportConformance(
  'the embedded transport',
  async () => {
    const world = await embedded()
    return { ...world, connect: async () => (await world.connect()).transport }
  },
  { breakable: false },
)

changelogConformance(
  'the embedded changelog',
  async () => {
    const world = await embedded()
    return { ...world, connect: async () => (await world.connect()).changelog, maxRecord: 1_047_552, tooLarge: 1_047_553 }
  },
  { durable: true },
)

registryConformance(
  'the embedded registry',
  async () => {
    const world = await embedded()
    return { ...world, connect: async () => (await world.connect()).registry }
  },
  { durable: true },
)
