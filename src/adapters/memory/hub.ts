/**
 * A message server in this process: subjects, wildcards, queue groups and no-responders messages, as NATS has them.
 *
 * H1. Messages are routed one after the other, in the order in which they reach the hub.
 * H2. A message's bytes are copied once, when it is published; receivers share them and must not write into them.
 * H3. A connection that broke has no interest until it is back; all its subscriptions are in force before it learns that it is.
 */
import { silent, type Observer } from '../../ports/observer.ts'
import type { Random } from '../../ports/random.ts'
import type { Message } from '../../ports/transport.ts'
import { Interest } from './interest.ts'
import type { Link } from './link.ts'
import { MemoryTransport, type Listener } from './transport.ts'

export interface MemoryHubOptions {
  /** Chooses the member of a queue group that gets a message. */
  readonly random: Random
  /** Bytes that one message may hold, headers included. Default 1 MiB, as NATS has it. */
  readonly maxPayload?: number
}

export interface HubConnectOptions {
  readonly link: Link
  /** Named in inboxes; unique in this hub. */
  readonly name: string
  /** First token of inboxes. Default `_INBOX`. */
  readonly inboxPrefix?: string
  /** Is told what handlers throw, and when the connection breaks and comes back. */
  readonly observer?: Observer
}

export class MemoryHub {
  /** May change while processes are connected, as that of a server does. */
  maxPayload: number
  readonly #random: Random
  readonly #interest = new Interest<Listener>()

  constructor({ random, maxPayload = 1_048_576 }: MemoryHubOptions) {
    this.#random = random
    this.maxPayload = maxPayload
  }

  connect({ link, name, inboxPrefix = '_INBOX', observer = silent }: HubConnectOptions): MemoryTransport {
    return new MemoryTransport({ hub: this, link, inbox: `${inboxPrefix}.${name}`, observer })
  }

  /** For `MemoryTransport`, at the hub's side of its link. */
  add(listener: Listener): void {
    this.#interest.add(listener.subject, listener)
  }

  remove(listener: Listener): void {
    this.#interest.remove(listener.subject, listener)
  }

  route(from: MemoryTransport, message: Message): void {
    const found = this.#interest.match(message.subject)
    if (found.length === 0) {
      if (message.reply !== undefined) from.deliverNoResponders(message.reply)
      return
    }
    let groups: Map<string, Listener[]> | undefined
    for (const listener of found) {
      if (listener.queue === undefined) {
        listener.transport.deliver(listener, message)
        continue
      }
      groups ??= new Map()
      const group = groups.get(listener.queue)
      if (group === undefined) groups.set(listener.queue, [listener])
      else group.push(listener)
    }
    if (groups === undefined) return
    for (const group of groups.values()) {
      const chosen = group.length === 1 ? group[0]! : group[Math.floor(this.#random.next() * group.length)]!
      chosen.transport.deliver(chosen, message)
    }
  }

  /** Who of one connection listens to a subject. */
  listenersOf(transport: MemoryTransport, subject: string): Listener[] {
    return this.#interest.match(subject).filter((listener) => listener.transport === transport)
  }
}
