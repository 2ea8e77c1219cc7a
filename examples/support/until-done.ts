import { setTimeout as sleep } from 'node:timers/promises'
import { isHoldfastError } from '../../src/index.ts'

/** Makes a call, anew or as the repetition of an earlier one. */
type Call<T> = (id: string | undefined) => Promise<T>

/**
 * The answer to a call that is not given up: what is refused is sent again, when its owner says that there may be room; and what may have
 * happened is repeated under its id, which makes it happen once. The client did both itself until its time-out, except for `OVERLOADED`,
 * which it tells at once: how much is sent is for its caller to say. Rejects with an error that no repetition can mend.
 */
export async function untilDone<T>(call: Call<T>): Promise<T> {
  let id: string | undefined
  for (;;) {
    try {
      return await call(id)
    } catch (error) {
      if (isHoldfastError(error, 'UNKNOWN')) id = error.id
      else if (isHoldfastError(error, 'RETRY') || isHoldfastError(error, 'OVERLOADED'))
        await sleep(error.retryAfterMs ?? 50)
      else throw error
    }
  }
}
