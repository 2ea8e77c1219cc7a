/**
 * What a run has begun in the cluster, and waits for.
 *
 * BG1. It goes on without the run. Whatever keeps the run from seeing how it ends, its time being over or nodes that do not answer, is
 *      `UNKNOWN`: after `RETRY` and `TIMEOUT` one may believe that nothing happened.
 */
import { HoldfastError, isHoldfastError } from '../protocol/errors.ts'

/** `what`: a noun, for the sentence. */
export async function begun<T>(what: string, wait: () => Promise<T>): Promise<T> {
  try {
    return await wait()
  } catch (cause) {
    if (!isHoldfastError(cause, 'RETRY') && !isHoldfastError(cause, 'TIMEOUT')) throw cause
    throw new HoldfastError('UNKNOWN', `${what} was begun, and goes on: ${cause.reason}`, { cause })
  }
}
