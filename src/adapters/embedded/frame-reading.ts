/**
 * Reading on in a frame file: what is durable, then what becomes so (C6). What is wrong with the file it does not judge: that is `RETRY`, and who
 * asks for the log's info, or reads it, is told.
 */
import type { LogEntry } from '../../ports/changelog.ts'
import type { Reading } from '../../ports/reading.ts'
import { HoldfastError, isHoldfastError } from '../../protocol/errors.ts'
import { seq } from '../../protocol/ids.ts'
import type { Frame } from './frame.ts'
import type { FrameFile } from './frame-file.ts'

export class FrameReading implements Reading<LogEntry> {
  readonly #file: () => Promise<FrameFile>
  #next: number
  /** What was durable when it was begun. */
  #frames: AsyncGenerator<Frame> | undefined
  #closed = false
  #wake: (() => void) | undefined

  /** `file` throws as `next` is to throw where there is none (any more). */
  constructor(file: () => Promise<FrameFile>, from: number) {
    this.#file = file
    this.#next = Math.max(from, 1)
  }

  async next(): Promise<LogEntry | undefined> {
    try {
      return await this.#read()
    } catch (cause) {
      if (!isHoldfastError(cause, 'INTERNAL')) throw cause
      throw new HoldfastError('RETRY', `following was interrupted (${cause.message}): read on behind the last record`, {
        cause,
      })
    }
  }

  async #read(): Promise<LogEntry | undefined> {
    while (!this.#closed) {
      const file = await this.#file()
      if (this.#frames === undefined) {
        if (file.last < this.#next) {
          await this.#growth(file)
          continue
        }
        const recent = file.recent(this.#next)
        if (recent !== undefined) return this.#entry(this.#next, recent)
      }
      this.#frames ??= file.read(this.#next, file.last)
      const step = await this.#step(this.#frames, file)
      if (this.#closed) break
      if (step.done !== true) return this.#entry(step.value.seq, step.value.body)
      this.#frames = undefined
    }
    return undefined
  }

  close(): void {
    this.#closed = true
    this.#wake?.()
  }

  #entry(at: number, record: Uint8Array): LogEntry {
    this.#next = at + 1
    return { seq: seq(at), record }
  }

  /** As the end, where the file was made anew meanwhile: reading goes on in that one. */
  async #step(frames: AsyncGenerator<Frame>, file: FrameFile): Promise<IteratorResult<Frame, void>> {
    try {
      return await frames.next()
    } catch (error) {
      if (this.#closed || (await this.#file()) !== file) return { done: true, value: undefined }
      throw error
    }
  }

  async #growth(file: FrameFile): Promise<void> {
    if (this.#closed) return
    const woken = new Promise<void>((resolve) => (this.#wake = resolve))
    const waiting = file.onGrowth(() => this.#wake?.())
    await woken
    waiting.close()
  }
}
