/** What NATS itself does here, through its official client, in the same run: the floor that others are compared with. */
import { fork } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { jetstream, jetstreamManager, StorageType } from '@nats-io/jetstream'
import { Kvm } from '@nats-io/kv'
import { connect } from '@nats-io/transport-node'
import { Child } from '../../examples/support/child.ts'
import type { EchoMessage } from '../echo.ts'
import { keyName, Ledger } from '../ledger.ts'
import { halfTime, rate } from '../rounds.ts'
import type { Bench, Scene } from '../scene.ts'
import { startServers, urlsOf } from '../stage.ts'

/** As much as a state of the commands. */
const payload = Buffer.alloc(100, 'x')

export const baselines: Scene = {
  figures: {
    'nats.request.p50': { unit: 'ms', what: 'request and reply between two processes, 100 bytes' },
    'nats.append.p50': { unit: 'ms', what: 'one publish to a stream, expecting a sequence, with fsync' },
    'nats.kv.put.w256.fsync': { unit: '/s', what: '256 puts of 100 bytes in flight, one bucket, with fsync' },
  },
  async run(bench) {
    const servers = urlsOf(await startServers(bench, 1))
    const nc = await open(bench, servers)
    if (bench.wants('nats.request.p50')) {
      await startEcho(bench, servers)
      bench.report('nats.request.p50', await halfTime(bench, { once: () => nc.request('echo', payload) }))
    }
    if (bench.wants('nats.append.p50')) {
      const manager = await jetstreamManager(nc)
      await manager.streams.add({ name: 'append', subjects: ['append'], storage: StorageType.File })
      const js = jetstream(nc)
      let sequence = 0
      const once = async () => {
        sequence = (await js.publish('append', payload, { expect: { lastSequence: sequence } })).seq
      }
      bench.report('nats.append.p50', await halfTime(bench, { once }))
    }
    await put(bench, nc, servers, 'nats.kv.put.w256.fsync')
  },
}

export const unsyncedBaselines: Scene = {
  figures: {
    'nats.kv.put.w256': { unit: '/s', what: 'the same without fsync: written through every two minutes' },
  },
  async run(bench) {
    const servers = await startServers(bench, 1, false)
    const nc = await open(bench, urlsOf(servers))
    await put(bench, nc, urlsOf(servers), 'nats.kv.put.w256')
  },
}

async function open({ teardown }: Bench, servers: string) {
  const nc = await connect({ servers: servers.split(','), noAsyncTraces: true })
  teardown.add(() => nc.close())
  return nc
}

async function put(bench: Bench, nc: Awaited<ReturnType<typeof open>>, _servers: string, name: string): Promise<void> {
  if (!bench.wants(name)) return
  const bucket = await new Kvm(nc).create('bench', { storage: StorageType.File })
  const ledger = new Ledger(bench.keys)
  bench.report(name, await rate(bench, { width: 256, once: () => bucket.put(keyName(ledger.pick()), payload) }))
}

async function startEcho({ folder, teardown, troubles }: Bench, servers: string): Promise<void> {
  const script = fileURLToPath(new URL('../echo.js', import.meta.url))
  const echo = new Child<EchoMessage>(fork(script, [servers], { cwd: join(folder), detached: true }), 'echo', troubles)
  teardown.add(() => echo.end('disconnect'))
  await echo.message('ready')
}
