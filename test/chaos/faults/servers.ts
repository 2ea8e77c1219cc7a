/** NATS servers that are killed, or hang. */
import { setTimeout as delay } from 'node:timers/promises'
import { jetstreamManager, type JetStreamManager, type StreamInfo } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { clusterName } from '../../e2e/support/process-cluster.ts'
import type { Fault } from '../fault.ts'
import { allPartitions, type World } from '../world.ts'

const awayMs = 1_000
const hangsMs = 5_000
/** Longer than connections to it are kept (two to three pings), and than its streams wait for another leader. */
const oneHangsMs = 15_000
const lookEveryMs = 100
const patienceMs = 60_000

export const killServer: Fault = {
  name: 'kill-server',
  what: `The NATS server, the only one, is killed with SIGKILL, and started again on its directory after ${awayMs / 1_000} s.`,
  count: 30,
  servers: 1,
  async strike({ cluster: { nats } }) {
    await nats.kill()
    await delay(awayMs)
    await nats.restart()
    return { partitions: allPartitions, heal: async () => {} }
  },
}

export const pauseServer: Fault = {
  name: 'pause-server',
  what: `The NATS server, the only one, is stopped with SIGSTOP for ${hangsMs / 1_000} s.`,
  count: 10,
  servers: 1,
  async strike({ cluster: { nats } }) {
    nats.pause()
    return { partitions: allPartitions, openMs: hangsMs, heal: async () => nats.resume() }
  },
}

export const pauseOneServer: Fault = {
  name: 'pause-one-server',
  what: `One of the servers, in turn, is stopped with SIGSTOP for ${oneHangsMs / 1_000} s: streams that it led want another leader, and nodes and clients that were connected to it want another server. All partitions count, also those that it takes nothing from.`,
  count: 10,
  servers: 3,
  async strike(world, n) {
    const { servers } = world.cluster
    const victim = servers[n % servers.length]!
    victim.pause()
    return {
      partitions: allPartitions,
      openMs: oneHangsMs,
      async heal() {
        victim.resume()
        await untilCurrent(world)
      },
    }
  },
}

export const killAllServers: Fault = {
  name: 'kill-all-servers',
  what: `All of them are killed with SIGKILL at once, and started again on their directories after ${awayMs / 1_000} s, each a second after the one before.`,
  count: 10,
  servers: 3,
  async strike(world) {
    const { servers } = world.cluster
    await Promise.all(servers.map((server) => server.kill()))
    for (const server of servers) {
      await delay(awayMs)
      await server.restart()
    }
    return { partitions: allPartitions, heal: () => untilCurrent(world) }
  },
}

export const killStreamLeader: Fault = {
  name: 'kill-stream-leader',
  what: 'The server that leads the stream of a partition, in turn, is killed with SIGKILL, and started again when all partitions whose streams it led have answered. Servers wait 4 to 9 s before they elect another leader.',
  count: 30,
  servers: 3,
  async strike(world, n) {
    const streams = await streamsOf(world)
    const leader = streams[n % streams.length]!.cluster?.leader
    const partitions = allPartitions.filter((partition) => streams[partition]!.cluster?.leader === leader)
    // As world.ts names them.
    const victim = world.cluster.servers[Number(leader?.slice(1))]
    if (victim === undefined) throw new Error(`${leader} leads, and is none of the servers`)
    await victim.kill()
    return {
      partitions,
      async heal() {
        await victim.restart()
        await untilCurrent(world)
      },
    }
  },
}

/** By partition. */
const streamsOf = (world: World): Promise<readonly StreamInfo[]> =>
  managing(world, (manager) =>
    Promise.all(allPartitions.map((partition) => manager.streams.info(`${clusterName}_P${partition}`))),
  )

/** Else the next strike would take the last majority. */
async function untilCurrent(world: World): Promise<void> {
  const endMs = performance.now() + patienceMs
  const current = ({ cluster }: StreamInfo) =>
    cluster?.leader !== undefined && (cluster.replicas ?? []).every(({ current }) => current)
  for (;;) {
    const streams = await streamsOf(world).catch((): readonly StreamInfo[] => [])
    if (streams.length > 0 && streams.every(current)) return
    if (performance.now() > endMs) throw new Error('the servers have not caught up with each other within a minute')
    await delay(lookEveryMs)
  }
}

async function managing<T>({ cluster }: World, use: (manager: JetStreamManager) => Promise<T>): Promise<T> {
  const connection = await connect({ servers: cluster.servers.map(({ url }) => url) })
  try {
    return await use(await jetstreamManager(connection))
  } finally {
    await connection.close()
  }
}
