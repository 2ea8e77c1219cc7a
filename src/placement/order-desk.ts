/**
 * Where the leader of placement takes the orders of operators.
 *
 * OD1. Each order has one answer, which goes only to a subject under the inbox prefixes; what is no order is answered with what one is.
 * OD2. At most `maxOrders` are carried out at a time; one more is answered that it is not done.
 * OD3. Once it is closed it says nothing: who leads next is asked again.
 */
import type { Subscription, Transport, Message } from '../ports/transport.ts'
import { messageOf } from '../protocol/errors.ts'
import type { Subjects } from '../protocol/subjects.ts'
import { decodeOrder, encodeOrderAnswer, type Order, type OrderAnswer } from './order.ts'

export interface OrderDeskOptions {
  readonly transport: Transport
  readonly subjects: Subjects
  /** Whether a subject may be answered; tells the observer of one that may not. */
  readonly accepts: (reply: string | undefined, subject: string) => reply is string
  /** Rejects never. */
  readonly carryOut: (order: Order) => Promise<OrderAnswer>
}

export const maxOrders = 64

const tooMany: OrderAnswer = {
  done: false,
  again: true,
  reason: `placement has ${maxOrders} orders to carry out already: try again`,
}

export class OrderDesk {
  readonly #options: OrderDeskOptions
  #subscription: Subscription | undefined
  #orders = 0
  #closed = false

  constructor(options: OrderDeskOptions) {
    this.#options = options
  }

  /** Orders that are being carried out. */
  get count(): number {
    return this.#orders
  }

  open(): void {
    const { transport, subjects } = this.#options
    this.#subscription = transport.subscribe(subjects.placementOrder, (message) => this.#onOrder(message), {
      queue: 'leader',
    })
  }

  close(): void {
    this.#closed = true
    this.#subscription?.close()
  }

  #onOrder({ data, reply, subject }: Message): void {
    if (!this.#options.accepts(reply, subject)) return
    let order: Order
    try {
      order = decodeOrder(data)
    } catch (error) {
      return this.#answer(reply, { done: false, again: false, reason: messageOf(error) })
    }
    if (this.#orders >= maxOrders) return this.#answer(reply, tooMany)
    this.#orders++
    void this.#options
      .carryOut(order)
      .then((answer) => this.#answer(reply, answer))
      .finally(() => this.#orders--)
  }

  #answer(reply: string, answer: OrderAnswer): void {
    if (this.#closed) return
    const { transport } = this.#options
    const bytes = encodeOrderAnswer(answer)
    if (bytes.length <= transport.maxPayload) return transport.publish(reply, bytes)
    const reason = `the answer has ${bytes.length} bytes, and the server takes ${transport.maxPayload}: raise its max_payload`
    transport.publish(reply, encodeOrderAnswer({ done: false, again: false, reason }))
  }
}
