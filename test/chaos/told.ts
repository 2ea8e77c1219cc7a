/**
 * One operation of a client, written into a history as it was told.
 *
 * T1. It is in the history from before it is sent, and its outcome is what the client said last. A patient one repeats a command whose outcome
 *     is UNKNOWN, with its id, until it knows, for as long as an owner remembers ids (R3).
 * T2. Once a command may have happened, a refusal of its repetition says nothing of the first: it is repeated all the same.
 * T3. A code that no caller has to reckon with is a mistake, and told.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { isHoldfastError, type HoldfastError } from '../../src/index.ts'
import { outcomeOf, type History } from '../../src/testing/check/history.ts'

export interface Asking<Input, Output> {
  readonly history: History<Input, Output>
  readonly client: string
  readonly key: string
  readonly input: Input
  /** With the id of an earlier attempt. */
  readonly send: (id: string | undefined) => Promise<Output>
  readonly patient: boolean
  readonly onMistake: (what: string) => void
}

/** Well below the 90 s after which an id is not to be repeated any more. */
const patienceMs = 80_000
/** Before whoever was refused asks again. */
const restMs = 20

const reckonedWith: ReadonlySet<HoldfastError['code']> = new Set([
  'RETRY',
  'TIMEOUT',
  'OVERLOADED',
  'FENCED',
  'UNKNOWN',
])

/** Resolves to the output, or to `undefined` where none came. */
export async function told<Input, Output>(asking: Asking<Input, Output>): Promise<Output | undefined> {
  const { history, client, key, input, send, patient, onMistake } = asking
  const begunMs = performance.now()
  const operation = history.invoke(client, key, input, begunMs)
  let id: string | undefined
  for (;;) {
    try {
      const output = await send(id)
      history.ok(operation, output, performance.now())
      return output
    } catch (error) {
      if (!isHoldfastError(error) || !reckonedWith.has(error.code)) {
        onMistake(`${client}, ${key}: ${String(error)}`)
        history.unknown(operation)
        return undefined
      }
      await delay(restMs)
      id ??= error.code === 'UNKNOWN' ? error.id : undefined
      if (patient && id !== undefined && performance.now() - begunMs < patienceMs) continue
      // T2
      const outcome = id === undefined ? outcomeOf(error.code) : ({ kind: 'unknown' } as const)
      if (outcome.kind === 'failed') history.failed(operation, outcome.code)
      else history.unknown(operation)
      return undefined
    }
  }
}
