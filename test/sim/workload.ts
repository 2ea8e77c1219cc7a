/** Clients that append and read, and write down what they were told, with the virtual times at which they asked and heard. */
import { connectOver } from '../../src/client/connect.ts'
import { parseCommandId } from '../../src/client/command-id.ts'
import { addressOf, type Session } from '../../src/client/session.ts'
import type { MemoryProcess } from '../../src/adapters/memory/world.ts'
import { HoldfastError, type ErrorCode } from '../../src/protocol/errors.ts'
import { silent } from '../../src/ports/observer.ts'
import type { SeededRandom } from '../../src/testing/seeded-random.ts'
import { clusterName } from './cluster.ts'
import { Ledger } from './ledger.ts'

export interface Operation {
  readonly kind: 'append' | 'appendLater' | 'fail' | 'all'
  readonly key: string
  readonly id: string
  readonly askedMs: number
  heardMs: number
  outcome: { readonly value: unknown } | { readonly code: ErrorCode } | undefined
}

export interface WorkloadOptions {
  readonly session: Session
  readonly process: MemoryProcess
  readonly random: SeededRandom
  readonly keys: readonly string[]
  readonly workers: number
  /** No operation begins at or after it, virtual ms. */
  readonly untilMs: number
  readonly timeoutMs: readonly [number, number]
  readonly history: Operation[]
}

/** Resolves when every worker has heard the outcome of its last operation. */
export async function work(options: WorkloadOptions): Promise<void> {
  await Promise.all(Array.from({ length: options.workers }, (_, n) => worker(options, n)))
}

async function worker(options: WorkloadOptions, n: number): Promise<void> {
  const { process, random, untilMs, session } = options
  const chance = random.fork(`worker ${n}`)
  for (let i = 0; process.clock.monotonic() < untilMs; i++) {
    await oneOperation(options, chance, `${session.id.slice(0, 4)}-${n}-${i}`)
    await pause(process, chance.between(0, 120))
  }
}

async function oneOperation(options: WorkloadOptions, chance: SeededRandom, id: string): Promise<void> {
  const { session, process, keys, history, timeoutMs } = options
  const draw = chance.next()
  const kind = draw < 0.5 ? 'append' : draw < 0.6 ? 'appendLater' : draw < 0.65 ? 'fail' : 'all'
  const key = chance.pick(keys)!
  const operation: Operation = {
    kind,
    key,
    id,
    askedMs: process.clock.monotonic(),
    heardMs: Infinity,
    outcome: undefined,
  }
  history.push(operation)
  const patience = chance.between(...timeoutMs)
  const request = (repeat?: string) =>
    session.request(
      kind === 'all' ? 'query' : 'command',
      addressOf(Ledger.type, key),
      kind,
      kind === 'all' ? null : id,
      {
        timeoutMs: patience,
        ...(repeat === undefined ? {} : { id: parseCommandId(repeat) }),
      },
    )
  let outcome = await settled(request())
  // Half of the doubtful ones ask again, as their error tells them to.
  for (
    let again = 0;
    again < 3 && 'error' in outcome && outcome.error.id !== undefined && chance.chance(0.5);
    again++
  ) {
    outcome = await settled(request(outcome.error.id))
    if ('error' in outcome && outcome.error.code === 'INVALID') break
  }
  operation.heardMs = process.clock.monotonic()
  // A repetition that was refused says nothing about the attempts before it.
  operation.outcome = 'error' in outcome ? { code: outcome.error.code } : outcome
}

async function settled(
  request: Promise<unknown>,
): Promise<{ readonly value: unknown } | { readonly error: HoldfastError }> {
  try {
    return { value: await request }
  } catch (error) {
    if (error instanceof HoldfastError) return { error }
    throw error
  }
}

/** What a watcher of the whole type sees, from the start. */
export interface Seen {
  readonly key: string
  readonly rev: number
  readonly ids: readonly string[]
}

export async function watchAll(process: MemoryProcess, seen: Seen[]): Promise<{ close(): Promise<void> }> {
  const { transport, clock, random } = process
  const hf = await connectOver(
    { transport, clock, random, observer: silent },
    { cluster: clusterName, connectTimeout: '60s' as never },
  )
  void (async () => {
    for await (const { key, rev, state } of hf.watch(Ledger, { from: 'start' }))
      seen.push({ key, rev, ids: state?.ids ?? [] })
  })()
  return { close: () => hf.close() }
}

const pause = (process: MemoryProcess, ms: number) =>
  new Promise<void>((resolve) => process.clock.setTimeout(resolve, ms))
