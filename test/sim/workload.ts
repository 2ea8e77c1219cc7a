/** Clients that append and read, and write down what they were told, with the virtual times at which they asked and heard. */
import { connectOver } from '../../src/client/connect.ts'
import { parseCommandId } from '../../src/client/command-id.ts'
import { addressOf, type Session } from '../../src/client/session.ts'
import type { MemoryProcess } from '../../src/adapters/memory/world.ts'
import { HoldfastError } from '../../src/protocol/errors.ts'
import { silent } from '../../src/ports/observer.ts'
import { outcomeOf, type History } from '../../src/testing/check/history.ts'
import type { ListInput, ListOutput } from '../../src/testing/check/list.ts'
import type { SeededRandom } from '../../src/testing/seeded-random.ts'
import { clusterName } from './cluster.ts'
import { Ledger } from './ledger.ts'

export type LedgerHistory = History<ListInput, ListOutput>

export interface WorkloadOptions {
  readonly session: Session
  readonly process: MemoryProcess
  readonly random: SeededRandom
  readonly keys: readonly string[]
  readonly workers: number
  /** No operation begins at or after it, virtual ms. */
  readonly untilMs: number
  readonly timeoutMs: readonly [number, number]
  readonly history: LedgerHistory
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
  const input: ListInput = kind === 'all' ? { kind: 'read' } : { kind: 'append', id }
  const operation = history.invoke(id.slice(0, id.lastIndexOf('-')), key, input, process.clock.monotonic())
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
    const before = outcome
    outcome = await settled(request(outcome.error.id))
    // A repetition that is not made any more says nothing about the attempts before it.
    if ('error' in outcome && outcome.error.code === 'INVALID') outcome = before
  }
  if ('value' in outcome) return history.ok(operation, outcome.value as ListOutput, process.clock.monotonic())
  const { code } = outcome.error
  // Whatever came of one that throws, it leaves no trace.
  if (kind === 'fail' || outcomeOf(code).kind === 'failed') history.failed(operation, code)
  else history.unknown(operation)
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
  readonly reset: boolean
}

export async function watchAll(process: MemoryProcess, seen: Seen[]): Promise<{ close(): Promise<void> }> {
  const { transport, clock, random } = process
  const hf = await connectOver(
    { transport, clock, random, observer: silent },
    { cluster: clusterName, connectTimeout: '60s' as never },
  )
  void (async () => {
    for await (const { key, rev, state, reset = false } of hf.watch(Ledger, { from: 'start' }))
      seen.push({ key, rev, ids: state?.ids ?? [], reset })
  })()
  return { close: () => hf.close() }
}

const pause = (process: MemoryProcess, ms: number) =>
  new Promise<void>((resolve) => process.clock.setTimeout(resolve, ms))
