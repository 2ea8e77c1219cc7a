/** Readers of the ledgers that allow some staleness, and what comes of it: judged by check/staleness.ts. */
import { addressOf, type Session } from '../../client/session.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import type { MemoryProcess } from '../../adapters/memory/world.ts'
import type { StaleRead } from '../check/staleness.ts'
import type { SeededRandom } from '../seeded-random.ts'
import { Ledger } from './ledger.ts'
import { appendOnce, clientOf, pause, type Teller } from './workload.ts'

export interface StaleReader {
  readonly session: Session
  readonly process: MemoryProcess
  readonly random: SeededRandom
  readonly reads: StaleRead[]
}

export interface StaleReaderOptions extends StaleReader {
  readonly keys: readonly string[]
  /** How long to rest before the next read, virtual ms; `undefined`: it was the last. */
  readonly restMs: (chance: SeededRandom) => number | undefined
}

export interface LateReaderOptions extends StaleReader {
  /** Appends what is read. */
  readonly other: Teller
  /** Keys of which a standby hears nothing now. */
  readonly keys: () => readonly string[]
  /** Virtual ms. */
  readonly untilMs: number
}

/** Owner and standbys take turns, so what one of them has and another has not yet shows in reads that follow each other. */
const readsInRow = 8
/** What a read allows, ms. */
const allowedMs: readonly [number, ...number[]] = [20, 100, 500, 2_000]
/** Where standbys are behind this is not for long, virtual ms. */
const lookEveryMs = 20

/** Resolves when the last read was answered. */
export async function readStale(options: StaleReaderOptions): Promise<void> {
  const { process, random, keys, restMs } = options
  for (;;) {
    const ms = restMs(random)
    if (ms === undefined) return
    await pause(process, ms)
    const key = random.pick(keys)!
    const maxStalenessMs = random.pick(allowedMs)
    for (let i = 0; i < readsInRow; i++) await readOnce(options, key, maxStalenessMs)
  }
}

/**
 * Reads what a standby has not heard of: chance would seldom do it then. For a client that reads nothing else, once after each append: of what
 * it has seen anywhere in a partition it sees no less.
 */
export async function readLate(options: LateReaderOptions): Promise<void> {
  const { process, random, other, keys, untilMs } = options
  const client = `${clientOf(other.session)}-late`
  for (let n = 1; process.clock.monotonic() < untilMs; n++) {
    await pause(process, lookEveryMs)
    const key = random.pick(keys())
    if (key === undefined) continue
    await appendOnce(other, key, `${client}-${Math.round(untilMs)}.${n}`, 1_000)
    await readOnce(options, key, random.pick(allowedMs))
  }
}

async function readOnce(
  { session, process: { clock }, reads }: StaleReader,
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
