/** Clients that append and read, and write down what they were told, with the virtual times at which they asked and heard. */
import { connectOver } from '../../client/connect.ts'
import { parseCommandId } from '../../client/command-id.ts'
import { addressOf, type Session } from '../../client/session.ts'
import type { MemoryProcess } from '../../adapters/memory/world.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import { silent } from '../../ports/observer.ts'
import type { PublishOptions, Transport } from '../../ports/transport.ts'
import { decodeWatchRequest, encodeWatchRequest } from '../../protocol/watch.ts'
import { outcomeOf, type History } from '../check/history.ts'
import type { ListInput, ListOutput } from '../check/list.ts'
import type { SeededRandom } from '../seeded-random.ts'
import { clusterName } from './cluster.ts'
import { Ledger } from './ledger.ts'

export type LedgerHistory = History<ListInput, ListOutput>

/** Who asks, and where it is written down what came of it. */
export interface Teller {
  readonly session: Session
  readonly process: MemoryProcess
  readonly history: LedgerHistory
}

export interface WorkloadOptions extends Teller {
  readonly random: SeededRandom
  readonly keys: readonly string[]
  readonly workers: number
  /** Asked before each operation: how long its worker rests first, virtual ms; `undefined`: it has done enough. */
  readonly restMs: (chance: SeededRandom) => number | undefined
  readonly timeoutMs: readonly [number, number]
}

/** Resolves when every worker has heard the outcome of its last operation. */
export async function work(options: WorkloadOptions): Promise<void> {
  await Promise.all(Array.from({ length: options.workers }, (_, n) => worker(options, n)))
}

/** Names a client in its history; its workers have its name before a `-`. */
export const clientOf = ({ id }: Session): string => id.slice(0, 4)

/** Whose operation it is, by its id. */
const workerOf = (id: string): string => id.slice(0, id.lastIndexOf('-'))

async function worker(options: WorkloadOptions, n: number): Promise<void> {
  const { process, random, restMs, session } = options
  const chance = random.fork(`worker ${n}`)
  for (let i = 0; ; i++) {
    const ms = restMs(chance)
    if (ms === undefined) return
    await pause(process, ms)
    await oneOperation(options, chance, `${clientOf(session)}-${n}-${i}`)
  }
}

async function oneOperation(options: WorkloadOptions, chance: SeededRandom, id: string): Promise<void> {
  const { session, process, keys, history, timeoutMs } = options
  const draw = chance.next()
  const kind = draw < 0.5 ? 'append' : draw < 0.6 ? 'appendLater' : draw < 0.65 ? 'fail' : 'all'
  const key = chance.pick(keys)!
  const input: ListInput = kind === 'all' ? { kind: 'read' } : { kind: 'append', id }
  const operation = history.invoke(workerOf(id), key, input, process.clock.monotonic())
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
  // Whatever came of one that throws, it leaves no trace.
  if (kind === 'fail' && 'error' in outcome) return history.failed(operation, outcome.error.code)
  told(options, operation, outcome)
}

/** One append, which is not repeated. */
export async function appendOnce(by: Teller, key: string, id: string, timeoutMs: number): Promise<void> {
  const { session, process, history } = by
  const operation = history.invoke(workerOf(id), key, { kind: 'append', id }, process.clock.monotonic())
  told(
    by,
    operation,
    await settled(session.request('command', addressOf(Ledger.type, key), 'append', id, { timeoutMs })),
  )
}

type Told = { readonly value: unknown } | { readonly error: HoldfastError }

function told({ process, history }: Teller, operation: number, outcome: Told): void {
  if ('value' in outcome) history.ok(operation, outcome.value as ListOutput, process.clock.monotonic())
  else if (outcomeOf(outcome.error.code).kind === 'failed') history.failed(operation, outcome.error.code)
  else history.unknown(operation)
}

async function settled(request: Promise<unknown>): Promise<Told> {
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

/** It takes at most `pageChanges` of them at a time. */
export async function watchAll(
  { process, transport }: { readonly process: MemoryProcess; readonly transport: Transport },
  pageChanges: number,
  seen: Seen[],
): Promise<{ close(): Promise<void> }> {
  const { clock, random } = process
  const hf = await connectOver(
    { transport: askingForFew(transport, pageChanges), clock, random, observer: silent },
    { cluster: clusterName, connectTimeout: '60s' },
  )
  void (async () => {
    for await (const { key, rev, state, reset = false } of hf.watch(Ledger, { from: 'start' }))
      seen.push({ key, rev, ids: state?.ids ?? [], reset })
  })()
  return { close: () => hf.close() }
}

/** Pages as small as anybody may ask for (docs/protocol.md), so that they are full where something was missed. */
const askingForFew = (inner: Transport, limit: number): Transport =>
  Object.create(inner, {
    publish: {
      value: (subject: string, data: Uint8Array, options?: PublishOptions) => {
        if (!subject.startsWith(`${clusterName}.watch.`)) return inner.publish(subject, data, options)
        const request = decodeWatchRequest(data)
        inner.publish(subject, encodeWatchRequest({ ...request, limit: request.limit ?? limit }), options)
      },
    },
  }) as Transport

export const pause = (process: MemoryProcess, ms: number) =>
  new Promise<void>((resolve) => process.clock.setTimeout(resolve, ms))
