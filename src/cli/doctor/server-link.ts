/**
 * A bare connection to NATS for checks: what a server says of itself, and what it says to a question, which the ports keep to themselves.
 */
import { NatsConnectionImpl, type MsgHdrs, type NatsConnection, type ServerInfo } from '@nats-io/transport-node'
import { checkSettings } from '../../adapters/nats/connection-options.ts'
import type { NatsSettings } from '../../adapters/nats/settings.ts'
import { messageOf } from '../../protocol/errors.ts'

export type Reply =
  | { readonly kind: 'answer'; readonly body: Json }
  | { readonly kind: 'denied' }
  | { readonly kind: 'nobody' }
  /** No answer, or one that is not JSON. */
  | { readonly kind: 'silence'; readonly reason: string }

export type Json = Readonly<Record<string, unknown>>

const patienceMs = 3_000

export class ServerLink {
  readonly #connection: NatsConnection

  static async open(settings: NatsSettings): Promise<ServerLink> {
    return new ServerLink(
      await NatsConnectionImpl.connect({ ...checkSettings(settings).options, name: 'holdfast-doctor' }),
    )
  }

  private constructor(connection: NatsConnection) {
    this.#connection = connection
  }

  get info(): ServerInfo | undefined {
    return this.#connection.info
  }

  get address(): string {
    return this.#connection.getServer()
  }

  async ask(subject: string, body = '', headers?: MsgHdrs): Promise<Reply> {
    try {
      const options = { timeout: patienceMs, ...(headers === undefined ? {} : { headers }) }
      const message = await this.#connection.request(subject, body, options)
      return { kind: 'answer', body: message.json<Json>() }
    } catch (error) {
      const reason = messageOf(error instanceof Error && error.cause instanceof Error ? error.cause : error)
      if (/permissions violation/i.test(reason) || /permissions violation/i.test(messageOf(error)))
        return { kind: 'denied' }
      if (/no responders/i.test(reason) || /no responders/i.test(messageOf(error))) return { kind: 'nobody' }
      return { kind: 'silence', reason }
    }
  }

  /** Whether this login may subscribe. */
  async maySubscribe(subject: string): Promise<boolean> {
    let denied = false
    const subscription = this.#connection.subscribe(subject, { callback: (error) => void (denied ||= error !== null) })
    // Its refusal comes before the answer to this.
    await this.#connection.flush()
    if (!denied) subscription.unsubscribe()
    return !denied
  }

  async close(): Promise<void> {
    await this.#connection.close()
  }
}
