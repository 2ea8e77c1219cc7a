/**
 * Others, doing the increments that the commands do (bench/peers): each on its own, with its own client in this process.
 *
 * P1. No reading is offered by all of them, so it is the answers that are verified, after each round: with nothing on its way the highest
 *     answer of a key is its count, and has to be the number of its increments.
 */
import { Ledger, keyName } from '../ledger.ts'
import { startRedis } from '../peers/redis.ts'
import { startRestate } from '../peers/restate.ts'
import { PeerAbsent, type Peer, type StartPeer } from '../peers/peer.ts'
import { descendants } from '../proc.ts'
import { halfTime, rate, type Work } from '../rounds.ts'
import type { Bench, Scene } from '../scene.ts'

export const restate = peerScene('restate', startRestate)
export const redis = peerScene('redis', startRedis)

export function peerScene(name: Peer['name'], start: StartPeer): Scene {
  const figures: Scene['figures'] = {
    [`${name}.commands.w1.p50`]: {
      unit: 'ms',
      what: `${name}: one increment at a time; its CPU but the client's: servers`,
    },
    [`${name}.commands.w256`]: { unit: '/s', what: `${name}: 256 increments in flight` },
    [`${name}.commands.w1024`]: { unit: '/s', what: `${name}: 1,024 in flight` },
  }
  return { name, figures, peers: true, run: (bench) => measure(bench, name, Object.keys(figures), start) }
}

async function measure(bench: Bench, name: string, figures: readonly string[], start: StartPeer): Promise<void> {
  let peer: Peer
  try {
    peer = await start(bench.folder, bench.teardown, bench.troubles)
  } catch (error) {
    if (!(error instanceof PeerAbsent)) throw error
    bench.absent(figures, error.message)
    return
  }
  bench.used(peer.version)
  const ledger = new Ledger(bench.keys)
  const work = incrementing(peer, ledger)
  const [half, ...rates] = [1, 256, 1_024].map((width, i) => ({ width, figure: figures[i]! }))
  if (bench.wants(half!.figure)) bench.report(half!.figure, await halfTime(bench, work))
  for (const { width, figure } of rates) {
    if (bench.wants(figure)) bench.report(figure, await rate(bench, { ...work, width }))
  }
  await peer.close()
}

function incrementing(peer: Peer, ledger: Ledger): Omit<Work, 'width'> {
  const counts = new Uint32Array(ledger.keys)
  return {
    async once() {
      const key = ledger.pick()
      const count = await peer.increment(keyName(key))
      ledger.wrote(key)
      counts[key] = Math.max(counts[key]!, count)
    },
    verify: () => ledger.each(1, async (key) => ledger.check(key, counts[key]!)),
    pids: { servers: descendants(process.pid) },
  }
}
