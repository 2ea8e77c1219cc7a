/**
 * Requests to one node by its own subject, each sent once and never repeated: for what no client would do, since a client goes where the
 * owner is.
 */
import type { Transport } from '../../../src/ports/transport.ts'
import { decodeReplyFrame, encodeRequestFrame, type Reply, type RequestKind } from '../../../src/protocol/frames.ts'
import { sessionId, type NodeId } from '../../../src/protocol/ids.ts'
import { subjectsOf } from '../../../src/protocol/subjects.ts'
import { decodeValue, encodeValue, type Value } from '../../../src/protocol/values.ts'
import { clusterName } from './process-cluster.ts'

export interface Asked {
  readonly kind: RequestKind
  readonly key: string
  /** Of a command: the id that it appends. */
  readonly id: string
  reply: Reply | undefined
}

export interface ProbeOptions {
  readonly transport: Transport
  readonly partitions: number
  /** Letters and digits; each probe has its own. */
  readonly name: string
  /** After each reply. */
  readonly onNews: () => void
}

export class Probe {
  readonly asked: Asked[] = []
  readonly #options: ProbeOptions
  readonly #inbox: string

  constructor(options: ProbeOptions) {
    this.#options = options
    const { transport, onNews } = options
    this.#inbox = transport.inbox()
    transport.subscribe(this.#inbox, ({ data, noResponders }) => {
      if (noResponders) return
      for (const reply of decodeReplyFrame(data).replies) this.asked[reply.number - 1]!.reply = reply
      onNews()
    })
  }

  /** Everything in one frame. Resolves when the server has passed it on. */
  async send(node: string, requests: readonly { readonly key: string; readonly append?: string }[]): Promise<void> {
    const { transport, partitions, name } = this.#options
    const first = this.asked.length + 1
    const asked = requests.map(({ key, append }): Asked => {
      return { kind: append === undefined ? 'query' : 'command', key, id: append ?? '', reply: undefined }
    })
    this.asked.push(...asked)
    const frame = encodeRequestFrame({
      partitions,
      session: sessionId(name),
      low: 1,
      frame: 1,
      requests: asked.map(({ kind, key, id }, i) => ({
        kind,
        number: first + i,
        type: 'ledger',
        key,
        name: kind === 'query' ? 'all' : 'append',
        input: encodeValue(id),
        timeoutMs: 60_000,
      })),
    })
    transport.publish(subjectsOf(clusterName).nodeFrame(node as NodeId), frame, { reply: this.#inbox })
    await transport.flush()
  }
}

/** What was answered, where it was a value. */
export const valueOf = ({ reply }: Asked): Value | undefined =>
  reply?.kind === 'value' ? decodeValue(reply.value) : undefined
