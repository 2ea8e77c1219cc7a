/** Sends at a rate, whatever becomes of what was sent: as users do, who do not know of each other. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Tally } from './tally.ts'

const tickMs = 2

export interface OpenLoopOptions {
  /** Commands in a second. */
  readonly rate: number
  readonly forMs: number
  readonly tally: Tally
  /** The call of the nth command, or its repetition. */
  readonly call: (n: number, id: string | undefined) => Promise<unknown>
  /** Ends it early. */
  readonly until?: () => boolean
}

/** Resolves when all that was sent has its outcome. */
export async function openLoop({ rate, forMs, tally, call, until }: OpenLoopOptions): Promise<void> {
  const startMs = performance.now()
  const total = Math.floor((rate * forMs) / 1_000)
  let underWay = 0
  let done: (() => void) | undefined
  const settled = () => {
    if (--underWay === 0) done?.()
  }
  for (let sent = 0; sent < total && until?.() !== true;) {
    const due = Math.min(total, ((performance.now() - startMs) * rate) / 1_000)
    for (; sent < due; sent++) {
      const n = sent
      underWay++
      void tally.take(startMs + (n * 1_000) / rate, (id) => call(n, id)).then(settled)
    }
    await sleep(tickMs)
  }
  if (underWay > 0) await new Promise<void>((resolve) => (done = resolve))
}
