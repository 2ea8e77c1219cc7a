import type { Clock } from '../ports/clock.ts'
import type { Message, Transport } from '../ports/transport.ts'

/**
 * One request on the control plane: publishes and waits for one reply. It may be the server's word that
 * nobody listens (`noResponders`). `null`: no answer in time. Not for the hot path: it subscribes an inbox of its own.
 */
export function ask(
  transport: Transport,
  clock: Clock,
  subject: string,
  data: Uint8Array,
  timeoutMs: number,
): Promise<Message | null> {
  return new Promise((resolve) => {
    const inbox = transport.inbox()
    const settle = (reply: Message | null) => {
      clock.clearTimeout(timer)
      subscription.close()
      resolve(reply)
    }
    const subscription = transport.subscribe(inbox, settle)
    const timer = clock.setTimeout(() => settle(null), timeoutMs)
    transport.publish(subject, data, { reply: inbox })
  })
}
