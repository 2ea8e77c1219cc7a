/** Disks that are full, and files that are not what was written. */
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync, openSync, writeSync, closeSync } from 'node:fs'
import { join } from 'node:path'
import { mounts } from '../needs.ts'
import { putBallast } from '../ballast.ts'
import { inMemory } from '../places.ts'
import type { Fault } from '../fault.ts'
import { allPartitions } from '../world.ts'

const fullMs = 5_000
const nodeDisk = '1g'
const serverDisk = '1g'
/** RocksDB takes the room of a write-ahead log when it begins one: until that is used up a full disk is not noticed. */
const pushed = 2_000

export const damageStore: Fault = {
  name: 'damage-store',
  what: 'A node is killed with SIGKILL, files of all its stores are damaged, and it is started again: bytes of tables, of write-ahead logs, or `CURRENT` cut off, in turn.',
  count: 15,
  servers: 1,
  allows: ['store.set-aside'],
  async strike(world, n) {
    const victim = world.memberOf(n)
    const partitions = world.owned(victim)
    await world.cluster.kill(victim)
    const [what, damage] = damages[n % damages.length]!
    for (const name of readdirSync(victim.dataDir)) if (/^p\d+$/.test(name)) damage(join(victim.dataDir, name))
    return {
      partitions,
      hit: () => {
        const { length } = world.node(victim.name).eventsOf('store.set-aside')
        return `${what}, ${length > 0 ? 'stores set aside' : 'no store set aside'}`
      },
      heal: () => world.restart(victim.name),
    }
  },
}

const damages: readonly (readonly [what: string, damage: (store: string) => void])[] = [
  ['tables', (store) => flip(filesOf(store, '.sst'))],
  ['write-ahead logs', (store) => flip(filesOf(store, '.log'))],
  ['CURRENT', (store) => truncateSync(join(store, 'CURRENT'), 0)],
]

const filesOf = (store: string, ending: string) =>
  readdirSync(store)
    .filter((name) => name.endsWith(ending))
    .map((name) => join(store, name))

/** A tenth of each file, in its middle. */
function flip(files: readonly string[]): void {
  for (const file of files) {
    const bytes = readFileSync(file)
    for (let i = Math.floor(0.45 * bytes.length); i < 0.55 * bytes.length; i++) bytes[i]! ^= 0x5a
    writeFileSync(file, bytes)
  }
}

export const fillNodeDisk: Fault = {
  name: 'fill-node-disk',
  what: `The disk of a node, ${nodeDisk} in memory, is full while ${pushed} values of 64 KiB are put, more than its write-ahead logs have room for, and for ${fullMs / 1_000} s.`,
  count: 10,
  servers: 1,
  // What is put stays.
  strikesPerWorld: 2,
  needs: [mounts],
  allows: ['partition.stopped'],
  place: (folder) => inMemory(folder, { nodes: nodeDisk }),
  async strike(world, n) {
    const victim = world.memberOf(n)
    const partitions = world.owned(victim)
    const ballast = join(victim.dataDir, 'ballast')
    const seen = victim.eventsOf('store.failed').length
    fill(ballast)
    await putBallast(world, pushed)
    return {
      partitions,
      openMs: fullMs,
      hit: () =>
        `${victim.eventsOf('store.failed').length > seen ? 'some' : 'none'} of its stores could not be written`,
      heal: async () => rmSync(ballast),
    }
  },
}

export const fillServerDisk: Fault = {
  name: 'fill-server-disk',
  what: `The disk of the NATS server, ${serverDisk} in memory, is full for ${fullMs / 1_000} s; then the server is started again, since it has switched JetStream off.`,
  count: 10,
  servers: 1,
  strikesPerWorld: 5,
  needs: [mounts],
  place: (folder) => inMemory(folder, { server: serverDisk }),
  async strike({ cluster: { nats } }) {
    const ballast = join(nats.storeDir, 'ballast')
    fill(ballast)
    return {
      partitions: allPartitions,
      openMs: fullMs,
      async heal() {
        rmSync(ballast)
        await nats.restart()
      },
    }
  },
}

/** Writes until nothing more can be written. */
function fill(file: string): void {
  const descriptor = openSync(file, 'w')
  try {
    for (let size = 1 << 20; size >= 1; size >>= 1) writeWhilePossible(descriptor, Buffer.alloc(size))
  } finally {
    closeSync(descriptor)
  }
}

function writeWhilePossible(descriptor: number, chunk: Buffer): void {
  try {
    while (writeSync(descriptor, chunk) === chunk.length);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  }
}
