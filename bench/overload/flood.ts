/**
 * Those who send too much, as a process of their own. Says what the node sustains, and then floods it.
 *
 *   node --import tsx bench/overload/flood.ts <servers> <cluster>
 */
import { once } from 'node:events'
import { tellParent } from '../../examples/support/parent.ts'
import { connect, isHoldfastError } from '../../src/index.ts'
import { openLoop } from './open-loop.ts'
import { Tally, type Outcomes } from './tally.ts'
import { Work } from './work.ts'

/** Answered with `sustained`, and `flooded`. */
export type FloodOrder =
  | { readonly kind: 'sustain'; readonly keys: readonly string[]; readonly forMs: number }
  | { readonly kind: 'flood'; readonly keys: readonly string[]; readonly forMs: number; readonly rate: number }

export type FloodMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'sustained'; readonly perSecond: number; readonly acknowledged: number }
  | { readonly kind: 'flooded'; readonly outcomes: Outcomes; readonly metrics: readonly string[] }

/** Calls under way when it is to be found out what the node sustains. */
const sustainedUnderWay = 64

// Hundreds of thousands of errors are made here, and nobody reads where.
Error.stackTraceLimit = 0

const released = once(process, 'disconnect')
const [servers, cluster] = process.argv.slice(2) as [string, string]
const hf = await connect({ servers, cluster, timeout: '30s' })
const compute = (key: string, id: string | undefined) => {
  const work = hf.actor(Work, key)
  return (id === undefined ? work : work.with({ id })).compute()
}

async function sustain(keys: readonly string[], forMs: number): Promise<FloodMessage> {
  const startMs = performance.now()
  let acknowledged = 0
  const send = async (first: number) => {
    for (let n = first; performance.now() - startMs < forMs; n += sustainedUnderWay) {
      try {
        await compute(keys[n % keys.length]!, undefined)
        acknowledged++
      } catch (error) {
        if (!isHoldfastError(error, 'OVERLOADED')) throw error
      }
    }
  }
  await Promise.all(Array.from({ length: sustainedUnderWay }, (_, n) => send(n)))
  return { kind: 'sustained', perSecond: (acknowledged * 1_000) / (performance.now() - startMs), acknowledged }
}

async function flood(keys: readonly string[], rate: number, forMs: number): Promise<FloodMessage> {
  const tally = new Tally()
  await openLoop({ rate, forMs, tally, call: (n, id) => compute(keys[n % keys.length]!, id) })
  const full = hf.metrics().filter(({ value }) => value > 0)
  return { kind: 'flooded', outcomes: tally.outcomes(), metrics: full.map(({ name, value }) => `${name} ${value}`) }
}

process.on('message', (order: FloodOrder) => {
  const { keys, forMs } = order
  void (order.kind === 'sustain' ? sustain(keys, forMs) : flood(keys, order.rate, forMs)).then(tellParent)
})
const ready: FloodMessage = { kind: 'ready' }
tellParent(ready)

await released
await hf.close()
