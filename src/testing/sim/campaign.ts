/**
 * Many seeds, in worker processes, and what came of them all.
 *
 * P1. Seeds go to whichever worker is free; the outcome of each is that of the seed alone, whoever ran it and whatever it ran before.
 * P2. A worker that dies fails the seed that it had, and another one takes its place.
 * P3. After `coverageFrom` seeds every pair of a fault and a step that can exist must have been hit: a run in which something never happens
 *     proves nothing about it. The same goes for `milestones`.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { Coverage } from './coverage.ts'
import type { Run } from './run.ts'

/** Every pair has been hit several times by then; see docs/decisions/0030-the-simulator.md. */
export const coverageFrom = 2_000

/** Events without which a long run has not been where it hurts. */
export const milestones = [
  'partition.fenced',
  'partition.recovered',
  'partition.void-record',
  'partition.handed-off',
  'partition.standing-by',
  'placement.deposed',
  'member.died',
  'node.fenced',
] as const

export interface CampaignOptions {
  readonly seeds: number
  readonly from: number
  /** Worker processes. */
  readonly jobs: number
  /** The file that a worker runs; it is given `--worker`. */
  readonly worker: string
  /** Is told of each seed that is done. */
  readonly onRun: (run: Run, totals: Totals) => void
  /** No further seed is begun once it says so. Default: all of them are run. */
  readonly enough?: (totals: Totals) => boolean
}

/** What came of all seeds so far. */
export interface Totals {
  readonly coverage: Coverage
  /** Of observer events, by their type. */
  readonly events: Map<string, number>
  seeds: number
  simulatedMs: number
  operations: number
  /** Seeds in which something was wrong. */
  violations: number
  slowestConvergenceMs: number
}

export async function campaign({
  seeds,
  from,
  jobs,
  worker,
  onRun,
  enough = () => false,
}: CampaignOptions): Promise<Totals> {
  const totals: Totals = {
    coverage: new Coverage(),
    events: new Map(),
    seeds: 0,
    simulatedMs: 0,
    operations: 0,
    violations: 0,
    slowestConvergenceMs: 0,
  }
  let next = from
  const take = () => (next < from + seeds && !enough(totals) ? next++ : undefined)
  const done = (run: Run) => {
    totals.seeds++
    totals.simulatedMs += run.simulatedMs
    totals.operations += run.operations
    totals.slowestConvergenceMs = Math.max(totals.slowestConvergenceMs, ...run.convergedMs)
    if (run.wrong.length > 0) totals.violations++
    totals.coverage.add(run.hits)
    for (const [type, times] of Object.entries(run.events)) {
      totals.events.set(type, (totals.events.get(type) ?? 0) + times)
    }
    onRun(run, totals)
  }
  await Promise.all(Array.from({ length: Math.min(jobs, seeds) }, () => work(worker, take, done)))
  return totals
}

/** One worker at a time, until there is no seed left (P2). */
async function work(worker: string, take: () => number | undefined, done: (run: Run) => void): Promise<void> {
  let seed = take()
  while (seed !== undefined) {
    const child = fork(worker, ['--worker'])
    try {
      for (; seed !== undefined; seed = take()) done(await ask(child, seed))
    } catch (error) {
      done(lost(seed!, error))
      seed = take()
    } finally {
      child.kill()
    }
  }
}

function ask(child: ChildProcess, seed: number): Promise<Run> {
  return new Promise((resolve, reject) => {
    const answered = (message: unknown) => {
      child.off('exit', exited)
      resolve(message as Run)
    }
    const exited = (code: number | null, signal: string | null) => {
      child.off('message', answered)
      reject(new Error(`its worker ended with ${signal ?? code}`))
    }
    child.once('message', answered)
    child.once('exit', exited)
    child.send(seed)
  })
}

const lost = (seed: number, error: unknown): Run => ({
  seed,
  wrong: [String(error)],
  simulatedMs: 0,
  operations: 0,
  acknowledged: 0,
  doubtful: 0,
  events: {},
  hits: {},
  convergedMs: [],
  fingerprint: '',
  trace: '',
})
