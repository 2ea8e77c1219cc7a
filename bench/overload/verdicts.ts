/** What is promised of a node that is asked for ten times what it can do, and whether a run has kept it. */
import type { Quantiles } from '../../examples/support/quantiles.ts'
import type { Outcomes } from './tally.ts'

export interface Measured {
  /** Whether one key was flooded, so that there are others. */
  readonly oneKey: boolean
  readonly flooded: Outcomes
  /** Of commands to other keys, without the flood and during it. */
  readonly before: Quantiles
  readonly during: Quantiles
  /** Since the flood had ended, until commands were as fast as before. */
  readonly recoveredAfterMs: number
  /** While it lasted, in its order. */
  readonly rssBytes: readonly number[]
  /** Commands whose acknowledgement was heard, and those that the node has counted. */
  readonly acknowledged: number
  readonly counted: number
}

export interface Verdict {
  readonly promise: string
  readonly figure: string
  readonly kept: boolean
}

const atOnceMs = 1_000
const recoveryMs = 5_000
const growthBytes = 48 * 1_024 * 1_024

export function verdictsOf(measured: Measured): readonly Verdict[] {
  const { oneKey, flooded, before, during, recoveredAfterMs, rssBytes, acknowledged, counted } = measured
  const { overloaded, retryAfterMs, others } = flooded
  const growth = growthOf(rssBytes)
  const slower = during.p99Ms / before.p99Ms
  const verdicts: Verdict[] = [
    {
      promise: `OVERLOADED comes at once: p99 within ${atOnceMs} ms of when the command was due`,
      figure: `${ms(overloaded.p50Ms)} half of them, p99 ${ms(overloaded.p99Ms)}, of ${overloaded.count}`,
      kept: overloaded.count > 0 && overloaded.p99Ms <= atOnceMs,
    },
    {
      promise: 'each says when to try again',
      figure: `${retryAfterMs.least} to ${retryAfterMs.most} ms`,
      kept: retryAfterMs.least > 0,
    },
    {
      promise: 'nothing else comes but acknowledgements',
      figure: `${flooded.acknowledged.count} acknowledged, others: ${JSON.stringify(others)}`,
      kept: Object.keys(others).length === 0 && flooded.acknowledged.count > 0,
    },
    {
      promise: `memory is flat: it grows by at most ${mib(growthBytes)} after the first third of the flood`,
      figure: `${mib(growth)} more, ${mib(Math.max(...rssBytes))} at most`,
      kept: growth <= growthBytes,
    },
    {
      promise: `all is as before within ${recoveryMs / 1_000} s`,
      figure: `after ${ms(recoveredAfterMs)}`,
      kept: recoveredAfterMs <= recoveryMs,
    },
    {
      promise: 'what was acknowledged has happened, once, and nothing else',
      figure: `${acknowledged} acknowledged, ${counted} counted`,
      kept: acknowledged === counted,
    },
  ]
  if (!oneKey) return verdicts
  const others2: Verdict = {
    promise: 'the p99 of other keys stays within twice what it was',
    figure: `${ms(before.p99Ms)} before, ${ms(during.p99Ms)} during: ${slower.toFixed(2)} times`,
    kept: slower <= 2,
  }
  return [...verdicts, others2]
}

/** By how much the most of the last two thirds is above the most of the first. */
function growthOf(rssBytes: readonly number[]): number {
  const third = Math.ceil(rssBytes.length / 3)
  return Math.max(0, Math.max(...rssBytes.slice(third)) - Math.max(...rssBytes.slice(0, third)))
}

const ms = (value: number) => `${value.toFixed(1)} ms`
const mib = (bytes: number) => `${(bytes / 1_048_576).toFixed(0)} MiB`
