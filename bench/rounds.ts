/** Rounds of a closed loop: one to warm up, then as many as were asked for, of which the median counts. */
import { closedLoop } from './closed-loop.ts'
import { cpuMs } from './cpu.ts'
import { median, quantile, type CpuShares, type Figure } from './figure.ts'
import type { Bench } from './scene.ts'

/** Processes whose CPU time is told beside a rate; this one is the client. */
export interface Pids {
  readonly nodes: readonly number[]
  readonly servers: readonly number[]
}

const noPids: Pids = { nodes: [], servers: [] }

export interface RoundsOptions {
  readonly width: number
  readonly once: () => Promise<unknown>
  /** Runs after each round, also the first; its time does not count. Default: nothing. */
  readonly verify?: () => Promise<void>
  readonly pids?: Pids
}

type Measured = Omit<Figure, 'unit'>

/** Operations per second. */
export async function rate(bench: Bench, { width, once, verify, pids = noPids }: RoundsOptions): Promise<Measured> {
  const rates: number[] = []
  const shares: CpuShares[] = []
  for (let round = 0; round <= bench.rounds; round++) {
    const before = spent(pids)
    const { perSecond, operations } = await closedLoop({ width, seconds: bench.seconds }, once)
    const after = spent(pids)
    await verify?.()
    if (round === 0) continue
    rates.push(perSecond)
    const share = (part: keyof CpuShares) => ((after[part] - before[part]) * 1_000) / operations
    shares.push({ client: share('client'), nodes: share('nodes'), servers: share('servers') })
  }
  const middle = (part: keyof CpuShares) => median(shares.map((share) => share[part]))
  return {
    value: median(rates),
    cpu: { client: middle('client'), nodes: middle('nodes'), servers: middle('servers') },
  }
}

/** Median time of one operation, ms: the median of the rounds' medians. */
export async function halfTime(bench: Bench, { once, verify }: Omit<RoundsOptions, 'width'>): Promise<Measured> {
  const medians: number[] = []
  for (let round = 0; round <= bench.rounds; round++) {
    const { times } = await closedLoop({ width: 1, seconds: bench.seconds, times: true }, once)
    await verify?.()
    if (round > 0) medians.push(quantile(times, 0.5))
  }
  return { value: median(medians) }
}

const spent = ({ nodes, servers }: Pids): CpuShares => ({
  client: cpuMs([process.pid]),
  nodes: cpuMs(nodes),
  servers: cpuMs(servers),
})
