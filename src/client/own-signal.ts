/**
 * One signal for the many questions of one reading. Each of them listens to it, and Node.js takes more than ten listeners of a signal for
 * a leak, so that the caller's own signal, which may serve many readings, gets one listener from each.
 */
import { setMaxListeners } from 'node:events'

export interface OwnSignal {
  readonly signal: AbortSignal
  /** Aborts what still listens, and lets go of the caller's signal. Idempotent. */
  end(): void
}

/** Ends by itself with `given`. */
export function ownSignal(given: AbortSignal | undefined): OwnSignal {
  const controller = new AbortController()
  setMaxListeners(0, controller.signal)
  const abort = () => controller.abort(given?.reason)
  if (given?.aborted === true) abort()
  given?.addEventListener('abort', abort, { once: true })
  return {
    signal: controller.signal,
    end() {
      given?.removeEventListener('abort', abort)
      controller.abort()
    },
  }
}
