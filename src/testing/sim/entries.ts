/**
 * Entries with a term in a simulated cluster: each key is put once, with an idempotency key, and read until nothing is there any more.
 *
 * J6. Once a reader was told that an entry has expired, no reader that asks later is told otherwise (E6).
 * J7. An entry that is there is what was put. How long it is there is not judged: clocks jump here.
 * J8. What was put under one idempotency key was put once, whoever repeated it.
 */
import { addressOf, type Session } from '../../client/session.ts'
import type { RequestOptions } from '../../client/session-options.ts'
import { HoldfastError, type ErrorCode } from '../../protocol/errors.ts'
import type { MemoryProcess } from '../../adapters/memory/world.ts'
import type { SeededRandom } from '../seeded-random.ts'

type Heard = { readonly value: unknown } | { readonly code: ErrorCode }

export interface EntryRead {
  readonly key: string
  readonly askedMs: number
  readonly heardMs: number
  readonly there: { readonly value: unknown; readonly rev: number } | null
}

export interface EntryPut {
  readonly key: string
  /** Of every attempt, by either session. */
  readonly heard: readonly Heard[]
}

export interface EntryHistory {
  readonly puts: EntryPut[]
  readonly reads: EntryRead[]
}

export interface EntryWork {
  readonly sessions: readonly Session[]
  readonly process: MemoryProcess
  readonly random: SeededRandom
  readonly untilMs: number
  /** Begins the keys, which are put once. */
  readonly name: string
  readonly history: EntryHistory
  /** Something happens to the owner of a key: it is when somebody was told of an expiry that a time that goes back would show (E6). */
  readonly strike: (kind: 'wall clock jump' | 'crash', key: string) => void
}

const atOnce = 3
/** An entry is read until it was gone so often, until it was read so often, or until so many reads had no answer. */
const goneReads = 4
const mostReads = 60
const mostUnanswered = 10

/** Resolves when the last entry was put and read for the last time. */
export async function workOnEntries(work: EntryWork): Promise<void> {
  await Promise.all(Array.from({ length: atOnce }, (_, n) => oneByOne({ ...work, name: `${work.name}-${n}` })))
}

async function oneByOne(work: EntryWork): Promise<void> {
  const { sessions, process, random, untilMs, name: prefix, history, strike } = work
  const { clock } = process
  for (let i = 0; clock.monotonic() < untilMs; i++) {
    const key = `${prefix}-${i}`
    const address = addressOf('kv-sim', key)
    const ask = async (name: string, input: unknown, options: RequestOptions = {}): Promise<Heard> => {
      try {
        const kind = name === 'put' ? 'command' : 'query'
        const session = random.pick(sessions)!
        return { value: await session.request(kind, address, name, input, { timeoutMs: 5_000, ...options }) }
      } catch (error) {
        if (error instanceof HoldfastError) return { code: error.code }
        throw error
      }
    }
    const ttlMs = Math.floor(random.between(200, 1_500))
    // Its owner's time is ahead of all others', and it is killed when somebody was told of the expiry, before its log has come so far.
    const strikes = random.chance(0.3)
    if (strikes) strike('wall clock jump', key)
    const heard: Heard[] = []
    const attempts = 1 + Math.floor(random.between(0, 3))
    for (let attempt = 0; attempt < attempts; attempt++) {
      heard.push(await ask('put', { value: key, ttlMs }, { idempotencyKey: 'once' }))
    }
    history.puts.push({ key, heard })
    const restMs = strikes ? 40 : ttlMs / 3
    let [gone, unanswered] = [0, 0]
    for (let read = 0; read < mostReads && gone < goneReads && unanswered < mostUnanswered; read++) {
      const readMs = clock.monotonic()
      const answer = await ask('entry', null)
      if ('value' in answer) {
        const there = answer.value as EntryRead['there']
        history.reads.push({ key, askedMs: readMs, heardMs: clock.monotonic(), there })
        if (there === null && gone++ === 0 && strikes) strike('crash', key)
      } else unanswered++
      await new Promise<void>((resolve) => clock.setTimeout(resolve, random.between(0, restMs)))
    }
  }
}

/** A sentence for each thing that is wrong. */
export function wrongEntries({ puts, reads }: EntryHistory): string[] {
  const wrong: string[] = []
  for (const { key, heard } of puts) {
    const revs = new Set(heard.flatMap((outcome) => ('value' in outcome ? [outcome.value] : [])))
    if (revs.size > 1) wrong.push(`${key} was put more than once under one key: revs ${[...revs].join(', ')}`)
    let goneMs = Infinity
    for (const read of reads.filter((one) => one.key === key)) {
      const { there } = read
      if (there !== null && (there.value !== key || there.rev !== 1)) {
        wrong.push(`${key} is ${JSON.stringify(there)}, though it was put once`)
      }
      if (there !== null && read.askedMs > goneMs) wrong.push(`${key} came back at ${read.askedMs}, gone at ${goneMs}`)
      if (there === null && revs.size > 0) goneMs = Math.min(goneMs, read.heardMs)
    }
  }
  return wrong
}
