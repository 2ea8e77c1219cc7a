/** What any NATS client can do, with nothing of Holdfast: two streams, one to fill and one to read. */
import { randomUUID } from 'node:crypto'
import { jetstream, jetstreamManager, type ConsumerMessages } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import { inputStream, inputSubject, outputStream, outputSubject, type Emitted, type Item } from './sample.ts'

export async function createStreams(nc: NatsConnection): Promise<void> {
  const manager = await jetstreamManager(nc)
  await manager.streams.add({ name: inputStream, subjects: [inputSubject] })
  // Repetitions of an output are dropped within two minutes, the default of JetStream.
  await manager.streams.add({ name: outputStream, subjects: [outputSubject] })
}

/** Resolves when the stream has stored it, once: where no answer comes it is sent again, by the same id. */
export async function feed(nc: NatsConnection, item: Item): Promise<void> {
  await jetstream(nc).publish(inputSubject, JSON.stringify(item), { msgID: randomUUID(), retries: 12 })
}

/** Reads the output stream from its beginning to the end of the example. */
export class OutputReader {
  readonly emitted: Emitted[] = []
  readonly #messages: ConsumerMessages
  readonly #ended: Promise<void>
  #onMessage: (() => void) | undefined

  static async begin(nc: NatsConnection): Promise<OutputReader> {
    const consumer = await jetstream(nc).consumers.get(outputStream)
    return new OutputReader(await consumer.consume())
  }

  private constructor(messages: ConsumerMessages) {
    this.#messages = messages
    this.#ended = this.#read()
  }

  /** Resolves to whether so many came within the time. */
  async came(count: number, withinMs: number): Promise<boolean> {
    let late: NodeJS.Timeout | undefined
    try {
      return await new Promise<boolean>((resolve) => {
        late = setTimeout(() => resolve(false), withinMs)
        this.#onMessage = () => void (this.emitted.length >= count && resolve(true))
        this.#onMessage()
      })
    } finally {
      clearTimeout(late)
    }
  }

  async close(): Promise<void> {
    await this.#messages.close()
    await this.#ended
  }

  async #read(): Promise<void> {
    for await (const message of this.#messages) {
      this.emitted.push(message.json<Emitted>())
      this.#onMessage?.()
    }
  }
}
