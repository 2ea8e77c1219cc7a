/** What NATS itself does here, through its official client, in the same run: the floor that others are compared with. */
import { jetstream, jetstreamManager, StorageType } from '@nats-io/jetstream'
import { Kvm } from '@nats-io/kv'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import type { EchoMessage } from '../echo.ts'
import { keyName, Ledger } from '../ledger.ts'
import { halfTime, rate, type Pids } from '../rounds.ts'
import type { Bench, Scene } from '../scene.ts'
import { pidsOf, startServers, urlsOf } from '../stage.ts'
import { startScript } from '../surroundings.ts'

/** As much as a state of the commands. */
const payload = Buffer.alloc(100, 'x')

export const baselines: Scene = {
  name: 'nats',
  figures: {
    'nats.request.p50': {
      unit: 'ms',
      what: 'request and reply between two processes, 100 bytes; the other one: nodes',
    },
    'nats.append.p50': { unit: 'ms', what: 'one publish to a stream, expecting a sequence, with fsync' },
    'nats.kv.put.w256.fsync': { unit: '/s', what: '256 puts of 100 bytes in flight, one bucket, with fsync' },
  },
  async run(bench) {
    const servers = await startServers(bench, 1)
    const pids = pidsOf({ nodes: [], servers })
    const nc = await open(bench, urlsOf(servers))
    if (bench.wants('nats.request.p50')) {
      const echo = startScript<EchoMessage>(bench, 'echo', 'echo', [urlsOf(servers)])
      await echo.message('ready')
      const once = () => nc.request('echo', payload)
      bench.report('nats.request.p50', await halfTime(bench, { once, pids: { ...pids, nodes: [echo.pid] } }))
    }
    if (bench.wants('nats.append.p50')) {
      const manager = await jetstreamManager(nc)
      await manager.streams.add({ name: 'append', subjects: ['append'], storage: StorageType.File })
      const js = jetstream(nc)
      let sequence = 0
      const once = async () => {
        sequence = (await js.publish('append', payload, { expect: { lastSequence: sequence } })).seq
      }
      bench.report('nats.append.p50', await halfTime(bench, { once, pids }))
    }
    if (bench.wants('nats.kv.put.w256.fsync')) await put(bench, nc, pids, 'nats.kv.put.w256.fsync')
  },
}

export const unsyncedBaselines: Scene = {
  name: 'nats-unsynced',
  figures: {
    'nats.kv.put.w256': { unit: '/s', what: 'the same without fsync: written through every two minutes' },
  },
  async run(bench) {
    const servers = await startServers(bench, 1, false)
    const nc = await open(bench, urlsOf(servers))
    await put(bench, nc, pidsOf({ nodes: [], servers }), 'nats.kv.put.w256')
  },
}

async function open({ teardown }: Bench, servers: string): Promise<NatsConnection> {
  const nc = await connect({ servers: servers.split(','), noAsyncTraces: true })
  teardown.add(() => nc.close())
  return nc
}

async function put(bench: Bench, nc: NatsConnection, pids: Pids, name: string): Promise<void> {
  const bucket = await new Kvm(nc).create('bench', { storage: StorageType.File })
  const ledger = new Ledger(bench.keys)
  const once = () => bucket.put(keyName(ledger.pick()), payload)
  bench.report(name, await rate(bench, { width: 256, once, pids }))
}
