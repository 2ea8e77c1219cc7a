/** Messages as the Transport port has them: nothing of one is decoded before it is asked for. */
import type { Msg } from '@nats-io/transport-node'
import type { Headers, Message } from '../../ports/transport.ts'
import { plainBytes } from './bytes.ts'

export class NatsMessage implements Message {
  readonly subject: string
  readonly data: Uint8Array
  readonly #message: Msg
  #headers: Headers | undefined

  constructor(message: Msg) {
    this.#message = message
    this.subject = message.subject
    this.data = plainBytes(message.data)
  }

  get reply(): string | undefined {
    return this.#message.reply || undefined
  }

  get headers(): Headers | undefined {
    if (this.#headers !== undefined) return this.#headers
    const { headers } = this.#message
    const names = headers?.keys() ?? []
    if (headers === undefined || names.length === 0) return undefined
    // Also a header named __proto__ becomes a property of its own.
    return (this.#headers = Object.fromEntries(names.map((name) => [name, headers.get(name)])))
  }

  get noResponders(): boolean {
    return isNoResponders(this.#message)
  }
}

/** The server's word that nobody listens to what was asked. */
export function isNoResponders(message: Msg): boolean {
  return message.data.length === 0 && message.headers?.code === 503
}
