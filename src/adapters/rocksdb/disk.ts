/**
 * The disk thread's remote control: questions to it, and what came of them.
 *
 * D1. Questions reach the thread in the order of the calls.
 * D2. If the thread ends by itself, everything that waits for it fails, and so does all that is asked of it later.
 * D3. It keeps the process alive only while a question waits.
 */
import { createRequire } from 'node:module'
import { Worker } from 'node:worker_threads'
import { HoldfastError } from '../../protocol/errors.ts'
import type { DiskAnswer, DiskQuestion, DiskRequest, Packed } from './disk-protocol.ts'
import { diskThreadSource } from './disk-thread.ts'
import { rocksDbUnavailable, storeFailure } from './failure.ts'

export interface DiskReply {
  readonly rows: Packed | null
  readonly finished: boolean
}

interface Waiting {
  readonly path: string
  readonly resolve: (reply: DiskReply) => void
  readonly reject: (error: HoldfastError) => void
}

export class Disk {
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  #questions = 0
  #ended: HoldfastError | null = null

  constructor() {
    // Not the flags of this process: with --input-type=module, say, the text would be read as another kind of program.
    this.#worker = new Worker(diskThreadSource, { eval: true, execArgv: [], workerData: { modulePath: modulePath() } })
    this.#worker.unref()
    this.#worker.on('message', (answer: DiskAnswer) => this.#settle(answer))
    this.#worker.on('error', (cause) =>
      this.#fail(new HoldfastError('INTERNAL', 'the disk thread failed: restart the node', { cause })),
    )
    this.#worker.on('exit', () =>
      this.#fail(new HoldfastError('INTERNAL', 'the disk thread has ended: open the stores again')),
    )
  }

  /** `path` names the store in errors; `transfer`: what the thread may have instead of a copy of it. */
  ask(path: string, request: DiskRequest, transfer: readonly Uint8Array[] = []): Promise<DiskReply> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== null) return reject(this.#ended)
      const question: DiskQuestion = { id: ++this.#questions, request }
      if (this.#waiting.size === 0) this.#worker.ref()
      this.#waiting.set(question.id, { path, resolve, reject })
      this.#worker.postMessage(
        question,
        transfer.map((bytes) => bytes.buffer as ArrayBuffer),
      )
    })
  }

  /** Ends the thread. Close the stores before. */
  async close(): Promise<void> {
    await this.#worker.terminate()
  }

  #settle(answer: DiskAnswer): void {
    const waiting = this.#waiting.get(answer.id)
    this.#waiting.delete(answer.id)
    if (this.#waiting.size === 0) this.#worker.unref()
    if (waiting === undefined) return
    if (answer.kind === 'done') waiting.resolve(answer)
    else waiting.reject(storeFailure(waiting.path, answer.code, answer.message))
  }

  #fail(error: HoldfastError): void {
    this.#ended ??= error
    for (const { reject } of this.#waiting.values()) reject(this.#ended)
    this.#waiting.clear()
  }
}

function modulePath(): string {
  try {
    return createRequire(import.meta.url).resolve('@nxtedition/rocksdb')
  } catch (cause) {
    throw rocksDbUnavailable(cause)
  }
}
