/**
 * Rounds of a closed loop: one to warm up, then as many as were asked for, of which the median counts.
 *
 * R1. The median is taken of each number by itself: of rates, of each percentile, of the CPU time in each kind of process.
 * R2. What a round has written is verified before the next begins, and that takes none of its time.
 */
import { closedLoop, systemNow, timeMs } from './closed-loop.ts'
import { cpuMs } from './proc.ts'
import { median, type Cpu, type Figure } from './figure.ts'

/** Processes whose CPU time is told beside a figure. */
export interface Pids {
  /** Beside this process, which always counts as a client. Default: none. */
  readonly clients?: readonly number[]
  readonly nodes?: readonly number[]
  readonly servers?: readonly number[]
}

export interface Plan {
  readonly rounds: number
  /** Of one round. */
  readonly seconds: number
  /** ms; never goes back. Default: `performance.now`. */
  readonly now?: () => number
}

export interface Work {
  readonly width: number
  readonly once: () => Promise<unknown>
  /** Operations that one call of `once` is. Default 1; a call of more has no times. */
  readonly operations?: number
  /** What a round is not over without, after its last call; gets the operations of the round. Default: nothing. */
  readonly settle?: (operations: number) => Promise<void>
  /** After each round, also the first (R2). Default: nothing. */
  readonly verify?: () => Promise<void>
  readonly pids?: Pids
}

export type Measured = Omit<Figure, 'unit'>

/** Operations per second. */
export async function rate(plan: Plan, work: Work): Promise<Measured> {
  const rounds = await run(plan, work)
  const times = work.operations === undefined ? { times: timesOf(rounds) } : {}
  return { value: median(rounds.map(({ perSecond }) => perSecond)), ...times, cpu: cpuOf(rounds) }
}

/** Median time of one operation, ms, of one at a time. */
export async function halfTime(plan: Plan, work: Omit<Work, 'width'>): Promise<Measured> {
  const rounds = await run(plan, { ...work, width: 1 })
  const times = timesOf(rounds)
  return { value: times.p50Ms, times, cpu: cpuOf(rounds) }
}

interface Round {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly cpu: Cpu
}

async function run({ rounds, seconds, now = systemNow }: Plan, work: Work): Promise<readonly Round[]> {
  const { width, once, operations: each = 1, settle, verify, pids = {} } = work
  const done: Round[] = []
  for (let round = 0; round <= rounds; round++) {
    const before = spent(pids)
    const { operations: calls, elapsedMs, times } = await closedLoop({ width, seconds, now }, once)
    const operations = calls * each
    const settlingMs = now()
    await settle?.(operations)
    const tookMs = elapsedMs + now() - settlingMs
    const after = spent(pids)
    await verify?.()
    if (round === 0) continue
    const share = (part: keyof Cpu) => ((after[part] - before[part]) * 1_000) / operations
    done.push({
      perSecond: (operations / tookMs) * 1_000,
      p50Ms: timeMs(times, 50),
      p99Ms: timeMs(times, 99),
      cpu: { client: share('client'), nodes: share('nodes'), servers: share('servers') },
    })
  }
  return done
}

const timesOf = (rounds: readonly Round[]) => ({
  p50Ms: median(rounds.map(({ p50Ms }) => p50Ms)),
  p99Ms: median(rounds.map(({ p99Ms }) => p99Ms)),
})

function cpuOf(rounds: readonly Round[]): Cpu {
  const middle = (part: keyof Cpu) => median(rounds.map(({ cpu }) => cpu[part]))
  return { client: middle('client'), nodes: middle('nodes'), servers: middle('servers') }
}

const spent = ({ clients = [], nodes = [], servers = [] }: Pids): Cpu => ({
  client: cpuMs([process.pid, ...clients]),
  nodes: cpuMs(nodes),
  servers: cpuMs(servers),
})
