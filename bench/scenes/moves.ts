/**
 * Moves: how long a key waits while its partition moves, and while others do.
 *
 * MV1. A caller for each partition, with a key of its own, does one command after the other, `restMs` apart. The longest of these in a while is
 *      what a user of that partition waited there at most, the time of a command included.
 * MV2. A round: a third node joins two that are at work, and when all is balanced and quiet it leaves again, as one that is told to end. All of it
 *      counts, the start and the end of the node's process on the same processors included.
 * MV3. No command may fail, and every counter is verified at the end.
 */
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { quantiles } from '../../examples/support/quantiles.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { balanced, BenchNode, partitions } from '../bench-node.ts'
import { CounterLoad } from '../counter-load.ts'
import { keyName, Ledger } from '../ledger.ts'
import type { Scene } from '../scene.ts'
import { clusterName, startCluster, urlsOf } from '../stage.ts'

const restMs = 5
/** Whoever waits has an answer by then, and standbys have caught up. */
const quietMs = 1_500
/** Each has ten moves or so. */
const passesInRound = 3

export const moves: Scene = {
  name: 'moves',
  figures: {
    'moves.still.p99': { unit: 'ms', what: 'the longest command of a partition in 1.5 s in which none moves' },
    'moves.join.p50': { unit: 'ms', what: 'the longest command of a partition that moves to a node that joins' },
    'moves.join.p99': { unit: 'ms', what: 'likewise; ratio: to `moves.still.p99`' },
    'moves.leave.p50': { unit: 'ms', what: 'of one that moves from a node that leaves' },
    'moves.leave.p99': { unit: 'ms', what: 'likewise; ratio: to `moves.still.p99`' },
    'moves.stay.p99': { unit: 'ms', what: 'of a partition that stays meanwhile; ratio: to `moves.still.p99`' },
  },
  async run(bench) {
    const { client, servers, nodes } = await startCluster(bench, { nodes: 2 })
    const ledger = new Ledger(bench.keys)
    const load = new CounterLoad(client, ledger)
    const callers = Array.from({ length: partitions }, (_, partition) => new Caller(load, keyIn(partition)))
    const still: number[] = []
    const joined: number[] = []
    const left: number[] = []
    const stayed: number[] = []
    const takeLongest = () => callers.map((caller) => caller.takeLongestMs())
    for (let pass = 0; pass <= bench.rounds * passesInRound; pass++) {
      await sleep(quietMs)
      takeLongest()
      await sleep(quietMs)
      const before = takeLongest()
      const guest = new BenchNode(bench, urlsOf(servers), clusterName, `guest-${pass}`, 1)
      const changes = [
        { change: () => balanced([...nodes, guest]), moved: joined },
        { change: () => Promise.all([guest.child.end('disconnect'), balanced(nodes)]), moved: left },
      ]
      for (const { change, moved } of changes) {
        await change()
        await sleep(quietMs)
        const tookOver = new Set([...nodes, guest].flatMap((node) => node.takeTakenOver()))
        // The first pass is to warm up.
        if (pass === 0) takeLongest()
        else takeLongest().forEach((ms, partition) => (tookOver.has(partition) ? moved : stayed).push(ms))
      }
      if (pass > 0) still.push(...before)
    }
    await Promise.all(callers.map((caller) => caller.end()))
    await load.verify()
    const base = quantiles(still).p99Ms
    const beside = quantiles(stayed).p99Ms
    bench.report('moves.still.p99', { value: base })
    for (const [what, waits] of [
      ['join', joined],
      ['leave', left],
    ] as const) {
      const { p50Ms, p99Ms } = quantiles(waits)
      bench.report(`moves.${what}.p50`, { value: p50Ms })
      bench.report(`moves.${what}.p99`, { value: p99Ms, ratio: p99Ms / base })
    }
    bench.report('moves.stay.p99', { value: beside, ratio: beside / base })
  },
}

function keyIn(partition: number): number {
  for (let key = 0; ; key++) if (partitionOf(keyName(key), partitions) === partition) return key
}

/** MV1 */
class Caller {
  readonly #load: CounterLoad
  readonly #key: number
  readonly #working: Promise<void>
  #ends = false
  #longestMs = 0
  /** Of the command that waits for its answer. */
  #beganMs: number | undefined

  constructor(load: CounterLoad, key: number) {
    this.#load = load
    this.#key = key
    this.#working = this.#work()
    // Thrown by `end`.
    this.#working.catch(() => {})
  }

  /** Since it was last asked; one that waits has waited until now. */
  takeLongestMs(): number {
    const nowMs = performance.now()
    const longestMs = Math.max(this.#longestMs, nowMs - (this.#beganMs ?? nowMs))
    this.#longestMs = 0
    return longestMs
  }

  /** Throws what a command failed with. */
  end(): Promise<void> {
    this.#ends = true
    return this.#working
  }

  async #work(): Promise<void> {
    while (!this.#ends) {
      const beganMs = (this.#beganMs = performance.now())
      await this.#load.addTo(this.#key)
      this.#longestMs = Math.max(this.#longestMs, performance.now() - beganMs)
      this.#beganMs = undefined
      await sleep(restMs)
    }
  }
}
