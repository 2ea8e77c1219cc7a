/** Readers of the ledgers that allow some staleness, and what comes of it: judged by check/staleness.ts. */
import { addressOf, type Session } from '../../client/session.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import type { MemoryProcess } from '../../adapters/memory/world.ts'
import type { StaleRead } from '../check/staleness.ts'
import type { SeededRandom } from '../seeded-random.ts'
import { Ledger } from './ledger.ts'
import { clientOf } from './workload.ts'

export interface StaleReaderOptions {
  readonly session: Session
  readonly process: MemoryProcess
  readonly random: SeededRandom
  readonly keys: readonly string[]
  /** How long to rest before the next read, virtual ms; `undefined`: it was the last. */
  readonly restMs: (chance: SeededRandom) => number | undefined
  readonly reads: StaleRead[]
}

/** Owner and standbys take turns, so what one of them has and another has not yet shows in reads that follow each other. */
const readsInRow = 8

/** Resolves when the last read was answered. */
export async function readStale(options: StaleReaderOptions): Promise<void> {
  const { process, random, keys, restMs } = options
  for (;;) {
    const ms = restMs(random)
    if (ms === undefined) return
    await new Promise<void>((resolve) => process.clock.setTimeout(resolve, ms))
    const key = random.pick(keys)!
    const maxStalenessMs = random.pick([20, 100, 500, 2_000])
    for (let i = 0; i < readsInRow; i++) await readOnce(options, key, maxStalenessMs)
  }
}

async function readOnce(
  { session, process: { clock }, reads }: StaleReaderOptions,
  key: string,
  maxStalenessMs: number,
): Promise<void> {
  const client = clientOf(session)
  const askedMs = clock.monotonic()
  try {
    const options = { timeoutMs: 5_000, maxStalenessMs }
    const { value, ageMs } = await session.measure('query', addressOf(Ledger.type, key), 'all', null, options)
    const ids = value as readonly string[]
    reads.push({ client, key, askedMs, heardMs: clock.monotonic(), maxStalenessMs, ageMs, ids })
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error
  }
}
