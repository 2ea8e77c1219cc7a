import type { Clock } from '../ports/clock.ts'
import type { Transport } from '../ports/transport.ts'

/**
 * One request on the control plane: publishes and waits for one reply. `null`: nobody listens, or no answer in time. Not for the hot path:
 * it subscribes an inbox of its own.
 */
export function ask(
  transport: Transport,
  clock: Clock,
  subject: string,
  data: Uint8Array,
  timeoutMs: number,
): Promise<Uint8Array | null> {
  return new Promise((resolve) => {
    const inbox = transport.inbox()
    const settle = (reply: Uint8Array | null) => {
      clock.clearTimeout(timer)
      subscription.close()
      resolve(reply)
    }
    const subscription = transport.subscribe(inbox, (message) => settle(message.noResponders ? null : message.data))
    const timer = clock.setTimeout(() => settle(null), timeoutMs)
    transport.publish(subject, data, { reply: inbox })
  })
}
