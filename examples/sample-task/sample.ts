/** The task: what comes as `{ key, value }` is put into the store, read back from there, and sent on with its rev. */
import {
  task,
  type Collector,
  type Envelope,
  type StreamTask,
  type TaskContext,
  type TaskStore,
} from '../../src/index.ts'

export const clusterName = 'sample'
export const inputStream = 'SAMPLE_IN'
export const outputStream = 'SAMPLE_OUT'
export const inputSubject = 'sample.in'
export const outputSubject = 'sample.out'
export const storeName = 'sample'

export interface Item {
  readonly key: string
  readonly value: number
}

/** `rev` counts the messages of the key that had an effect. */
export interface Emitted extends Item {
  readonly rev: number
}

class SampleTask implements StreamTask<Item> {
  #store!: TaskStore<number>

  init(context: TaskContext): void {
    this.#store = context.store<number>(storeName)
  }

  async process({ value: { key, value } }: Envelope<Item>, collector: Collector): Promise<void> {
    await this.#store.put(key, value)
    const entry = (await this.#store.entry(key))!
    const emitted: Emitted = { key, value: entry.value, rev: entry.rev }
    collector.send({ subject: outputSubject, value: emitted, stream: outputStream })
  }
}

export const sample = task<Item>('sample', {
  input: { stream: inputStream },
  key: ({ value }) => value.key,
  stores: [storeName],
  run: () => new SampleTask(),
})
