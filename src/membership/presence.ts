/**
 * Who has a connection to the NATS server. A node listens where it may be asked for, by each of its connections, and says nothing there: the
 * server says when nobody listens (LW6).
 */
import type { Clock } from '../ports/clock.ts'
import type { Subscription, Transport } from '../ports/transport.ts'
import type { NodeId } from '../protocol/ids.ts'
import type { Subjects } from '../protocol/subjects.ts'
import { ask } from './ask.ts'

/** The server says at once that nobody listens; after so long it will not say so, ms. */
export const absenceMs = 500

const nothing = new Uint8Array(0)

/** A node is there, by all its connections, until it closes what this gives. */
export function bePresent(id: NodeId, subjects: Subjects, transports: readonly Transport[]): Subscription {
  const open = transports.map((transport) => transport.subscribe(subjects.presence(id), () => {}))
  return { close: () => open.forEach((each) => each.close()) }
}

/** Whether a node has no connection, as far as the server knows. Rejects never. */
export async function isAbsent(id: NodeId, subjects: Subjects, transport: Transport, clock: Clock): Promise<boolean> {
  const reply = await ask(transport, clock, subjects.presence(id), nothing, absenceMs)
  return reply?.noResponders ?? false
}
