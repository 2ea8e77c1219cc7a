/**
 * What an operator orders and asks of whoever leads placement, as JSON on `<c>.placement.order`, and the answers.
 *
 * Orders are read strictly: a field that is not known is refused, since it may be what matters to who sent it.
 */
import { stateFromJson, stateToJson, type NamedStep, type PlacementState } from '../core/placement-state.ts'
import { HoldfastError } from '../protocol/errors.ts'
import { isNodeId, partitionId, type NodeId, type PartitionId } from '../protocol/ids.ts'
import { parseJsonText } from '../protocol/json-text.ts'

export type Order =
  /** Begin to move the partition to that node now; done once the move is noted. To where it is moving already is done, too. */
  | { readonly op: 'move'; readonly partition: PartitionId; readonly to: NodeId }
  /** Tell what you go by, and what you would do now; do nothing. */
  | { readonly op: 'plan' }
  /** Forget which nodes are avoided for what, and plan now. */
  | { readonly op: 'rebalance' }

export type OrderAnswer =
  | { readonly done: true; readonly state?: PlacementState }
  /** Nothing was done; why, as a sentence. `again`: the same order may well be carried out a little later. */
  | { readonly done: false; readonly again: boolean; readonly reason: string }

/** An answer, as it is read. */
export type OrderReply = { readonly done: true; readonly plan: Plan | null } | Extract<OrderAnswer, { done: false }>

/** What placement goes by, and the steps that its leader would take now. */
export interface Plan {
  readonly state: PlacementState
  readonly steps: readonly NamedStep[]
}

export const maxOrderBytes = 4_096
/** What is longer is cut. */
const maxReasonLength = 1_024

const jsonBytes = (json: object): Uint8Array => Buffer.from(JSON.stringify(json))

export const encodeOrder = (order: Order): Uint8Array => jsonBytes(order)

export const encodeOrderAnswer = (answer: OrderAnswer): Uint8Array =>
  jsonBytes(
    answer.done ? { done: true, ...(answer.state === undefined ? {} : { plan: stateToJson(answer.state) }) } : answer,
  )

/** Throws `INVALID`. */
export function decodeOrder(data: Uint8Array): Order {
  if (data.length > maxOrderBytes) throw noOrder()
  const { op, partition, to, ...others } = objectFrom(data, noOrder)
  if (Object.keys(others).length > 0) throw noOrder()
  if (op === 'move') {
    if (!Number.isSafeInteger(partition) || (partition as number) < 0) throw noOrder()
    if (typeof to !== 'string' || !isNodeId(to)) throw noOrder()
    return { op, partition: partitionId(partition as number), to }
  }
  if ((op !== 'plan' && op !== 'rebalance') || partition !== undefined || to !== undefined) throw noOrder()
  return { op }
}

/** Throws `INVALID`. */
export function decodeOrderReply(data: Uint8Array): OrderReply {
  const { done, again, reason, plan } = objectFrom(data, noReply)
  if (done === true) return { done, plan: plan === undefined ? null : stateFromJson(plan) }
  if (done !== false || typeof again !== 'boolean' || typeof reason !== 'string') throw noReply()
  return { done, again, reason: reason.slice(0, maxReasonLength) }
}

function objectFrom(data: Uint8Array, malformed: () => HoldfastError): Readonly<Record<string, unknown>> {
  let json: unknown
  try {
    json = parseJsonText(data)
  } catch {
    throw malformed()
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw malformed()
  return json as Readonly<Record<string, unknown>>
}

const noOrder = () =>
  new HoldfastError(
    'INVALID',
    'this is no order to placement: send {"op":"move","partition":3,"to":"node-b"}, {"op":"plan"} or {"op":"rebalance"}, and nothing else',
  )

const noReply = () =>
  new HoldfastError('INVALID', 'this is no answer of placement: use the command line of the version that the nodes run')
