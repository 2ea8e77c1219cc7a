/** Whoever leads placement, asked by a run: its plan, and orders to it. */
import { decodeOrderReply, encodeOrder, type Order, type OrderReply, type Plan } from '../placement/order.ts'
import { HoldfastError } from '../protocol/errors.ts'
import type { CliSession } from './session.ts'

/** What placement goes by, and what it would do now. */
export async function planOf(session: CliSession): Promise<Plan> {
  const { plan } = await carriedOut(session, { op: 'plan' })
  if (plan !== null) return plan
  throw new HoldfastError(
    'INVALID',
    'placement has told no plan: use the command line of the version that the nodes run',
  )
}

/** Throws `CONFLICT` with the reason where the order is not carried out, `RETRY` where it may be a little later, `UNKNOWN` where it may have been. */
export async function carriedOut(session: CliSession, order: Order): Promise<Extract<OrderReply, { done: true }>> {
  const reply = decodeOrderReply(await session.askLeader(encodeOrder(order), order.op !== 'plan'))
  if (reply.done) return reply
  throw new HoldfastError(reply.again ? 'RETRY' : 'CONFLICT', reply.reason)
}
