/**
 * An append-only file of frames (frame.ts), each numbered, on a real disk.
 *
 * A1. An append is settled after an `fdatasync` that began when it was written. One is in flight at a time and covers all
 *     appends that were written before it; what arrives meanwhile goes together into the next.
 * A2. A file appears whole or not at all: it is made under another name with its first frames, synced, and renamed. A power cut may take that
 *     name from it until it has been opened.
 * A3. On open a torn tail is cut; damage is `INTERNAL`, and the file stays as it is (N1 of frame-scan.ts).
 * A4. After a write that failed the file is cut back to what is durable, and the appends are `not-stored`. After a sync that failed
 *     nobody knows what is on the disk: those appends are `unknown`, and the file takes nothing more until it is opened again.
 *     What is found when it is opened may be of that sync, and in memory alone, though the system takes it for written: so the bytes that no
 *     frame proves to be durable are written and synced again before anything is said of them, and so is the file's name.
 * A5. Reads give durable frames only, and check each.
 * A6. A file may begin with any sequence: `trim` makes it anew, by A2, without its first frames. A crash leaves the one or the other.
 * A7. The newest frames are kept in memory too, up to `recentBytes`: who follows what is appended has them without the disk.
 */
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Subscription } from '../../ports/transport.ts'
import { HoldfastError, messageOf } from '../../protocol/errors.ts'
import { fileFailure } from './failure.ts'
import { frameDisk, readAt, writeAll, type FrameDisk, type FrameFileHandle } from './frame-disk.ts'
import { encodeFileHeader, encodeFrame, fileHeaderSize, frameHeader, type Frame } from './frame.ts'
import { indexEvery, scan, wholeFrames, windowSize, type Scanned } from './frame-scan.ts'

/** A7 */
const recentBytes = 262_144

export type AppendOutcome =
  { readonly kind: 'stored' } | { readonly kind: 'not-stored' | 'unknown'; readonly reason: string }

export interface FrameFileOptions {
  /** Default: the real one. */
  readonly disk?: FrameDisk
  /** Is called with each frame, in order, while the file is opened. */
  readonly visit?: (frame: Frame) => void
}

interface Pending {
  readonly body: Uint8Array
  readonly settle: (outcome: AppendOutcome) => void
}

export class FrameFile {
  readonly path: string
  /** What the file was made with. */
  readonly label: string
  readonly #handle: FrameFileHandle
  /** Sequence of the first frame. */
  readonly #first: number
  /** Offsets of the first frame, and each indexEvery further on. */
  readonly #index: number[]
  #durableSeq: number
  #durableEnd: number
  /** The last sequence given, and the end of the file with it. */
  #givenSeq: number
  #givenEnd: number
  #pending: Pending[] = []
  #flushing: Promise<void> | null = null
  #lastAppend: Promise<AppendOutcome> | null = null
  #broken: string | null = null
  #closed = false
  /** The last durable frames (A7). */
  readonly #recent: Buffer[] = []
  #recentSize = 0
  /** Who waits for more frames. */
  readonly #waiting = new Set<() => void>()

  /** Makes a file of at least one frame (A2), the first of sequence `first`, in the place of the one of that name if there is one. */
  static async create(path: string, label: string, bodies: readonly Uint8Array[], first = 1): Promise<void> {
    const frames = bodies.map((body, i) => encodeFrame(first + i, 0, body))
    const size = frames.reduce((sum, frame) => sum + frame.length, fileHeaderSize(label))
    const scratch = `${path}.new`
    try {
      await rm(scratch, { force: true })
      const handle = await open(scratch, 'wx')
      try {
        await writeAll(handle, Buffer.concat([encodeFileHeader(label, size), ...frames]), 0)
        await handle.datasync()
      } finally {
        await handle.close()
      }
      await rename(scratch, path)
    } catch (error) {
      throw fileFailure(path, error)
    }
  }

  /** Null: there is no such file. */
  static async open(path: string, options: FrameFileOptions = {}): Promise<FrameFile | null> {
    const { disk = frameDisk, visit } = options
    let handle: FrameFileHandle
    try {
      handle = await disk.open(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw fileFailure(path, error)
    }
    try {
      const scanned = await scan(path, handle, visit)
      await makeDurable(handle, scanned)
      await disk.syncFolder(dirname(path))
      return new FrameFile(path, handle, scanned)
    } catch (error) {
      await handle.close()
      throw fileFailure(path, error)
    }
  }

  private constructor(path: string, handle: FrameFileHandle, { label, first, last, end, index }: Scanned) {
    this.path = path
    this.label = label
    this.#handle = handle
    this.#first = first
    this.#index = index
    this.#durableSeq = this.#givenSeq = last
    this.#durableEnd = this.#givenEnd = end
  }

  /** Sequence of the first frame. */
  get first(): number {
    return this.#first
  }

  /** For good: another one is to be opened. */
  get closed(): boolean {
    return this.#closed
  }

  /** Sequence of the last durable frame. */
  get last(): number {
    return this.#durableSeq
  }

  /** Sequence of the last frame appended, durable or not yet. */
  get given(): number {
    return this.#givenSeq
  }

  /** Appends the frame `given + 1` (A1). Takes the body's memory. */
  append(body: Uint8Array): Promise<AppendOutcome> {
    if (this.#broken !== null) return Promise.resolve({ kind: 'not-stored', reason: this.#broken })
    if ((++this.#givenSeq - this.#first) % indexEvery === 0) this.#index.push(this.#givenEnd)
    this.#givenEnd += frameHeader + body.length
    this.#lastAppend = new Promise((settle) => this.#pending.push({ body, settle }))
    this.#flushing ??= this.#flush()
    return this.#lastAppend
  }

  /** Resolves when all that was appended before is settled; throws where the file is broken. */
  async settled(): Promise<void> {
    if (this.#givenSeq > this.#durableSeq) await this.#lastAppend
    this.#refuseBroken()
  }

  /** Frames `from` … `to`, both included; ends early where fewer are durable. */
  async *read(from: number, to: number): AsyncGenerator<Frame> {
    this.#refuseBroken()
    const end = this.#durableEnd
    const last = Math.min(to, this.#durableSeq)
    if (Math.max(from, this.#first) > last) return
    const slot = Math.floor((Math.max(from, this.#first) - this.#first) / indexEvery)
    let next = slot * indexEvery + this.#first
    try {
      for await (const frame of wholeFrames(this.#handle, this.#index[slot]!, end)) {
        if (frame.seq !== next) break
        if (next >= from) yield frame
        if (next++ === last) return
      }
    } catch (error) {
      throw fileFailure(this.path, error)
    }
    throw new HoldfastError(
      'INTERNAL',
      `${this.path} is damaged at frame ${next}: restore it from a copy, or recover the cluster from its stores`,
    )
  }

  /** A copy of the body of the durable frame `seq`, if it is in memory (A7). */
  recent(seq: number): Uint8Array | undefined {
    const frame = this.#recent[this.#recent.length - 1 - (this.#durableSeq - seq)]
    return frame === undefined || this.#broken !== null
      ? undefined
      : Uint8Array.prototype.slice.call(frame, frameHeader)
  }

  #keepRecent(frames: readonly Buffer[]): void {
    for (const frame of frames) {
      this.#recent.push(frame)
      this.#recentSize += frame.length
    }
    while (this.#recentSize > recentBytes) this.#recentSize -= this.#recent.shift()!.length
  }

  /** Calls `wake` once: when there are more durable frames, or can be none any more. Throws where the file is broken. */
  onGrowth(wake: () => void): Subscription {
    if (this.#closed) queueMicrotask(wake)
    else {
      this.#refuseBroken()
      this.#waiting.add(wake)
    }
    return { close: () => void this.#waiting.delete(wake) }
  }

  #tellWaiting(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }

  /**
   * Makes the file anew with the frames from `first` on, which must be there (A6). Nothing may be appended meanwhile. When it resolves another
   * file has the name: close this one, and open that.
   */
  async trim(first: number): Promise<void> {
    const scratch = `${this.path}.new`
    try {
      const handle = await open(scratch, 'w')
      try {
        let end = fileHeaderSize(this.label)
        for await (const frames of joined(this.read(first, this.#durableSeq))) {
          await writeAll(handle, frames, end)
          end += frames.length
        }
        await writeAll(handle, encodeFileHeader(this.label, end), 0)
        await handle.datasync()
      } finally {
        await handle.close()
      }
      await rename(scratch, this.path)
      // Nothing may go to a file without a name, whatever comes of the new one.
      this.#broken ??= `${this.path} was made anew`
    } catch (error) {
      await rm(scratch, { force: true }).catch(() => {})
      throw fileFailure(this.path, error)
    }
  }

  /** Settles what is under way, and takes nothing more. */
  async close(): Promise<void> {
    this.#broken ??= `${this.path} is closed`
    this.#closed = true
    this.#tellWaiting()
    await this.#flushing
    await this.#handle.close()
  }

  async #flush(): Promise<void> {
    // Appends of the same tick go together.
    await Promise.resolve()
    while (this.#pending.length > 0) {
      const batch = this.#pending
      this.#pending = []
      // Made when they are written: what was durable when they were appended proves less (F2).
      const frames = batch.map(({ body }, i) => encodeFrame(this.#durableSeq + 1 + i, this.#durableEnd, body))
      const bytes = frames.length === 1 ? frames[0]! : Buffer.concat(frames)
      const outcome = await this.#store(bytes)
      if (outcome.kind === 'stored') {
        this.#durableEnd += bytes.length
        this.#durableSeq += batch.length
        this.#keepRecent(frames)
        this.#tellWaiting()
      } else {
        // What was appended behind it has lost its place.
        batch.push(...this.#pending)
        this.#pending = []
        this.#givenSeq = this.#durableSeq
        this.#givenEnd = this.#durableEnd
        this.#index.length = Math.ceil((this.#durableSeq - this.#first + 1) / indexEvery)
      }
      for (const { settle } of batch) settle(outcome)
    }
    this.#flushing = null
  }

  async #store(bytes: Buffer): Promise<AppendOutcome> {
    try {
      await writeAll(this.#handle, bytes, this.#durableEnd)
    } catch (error) {
      return this.#cutBack(messageOf(error))
    }
    try {
      await this.#handle.datasync()
      return { kind: 'stored' }
    } catch (error) {
      return this.#break(messageOf(error))
    }
  }

  async #cutBack(reason: string): Promise<AppendOutcome> {
    try {
      await this.#handle.truncate(this.#durableEnd)
      await this.#handle.datasync()
      return { kind: 'not-stored', reason }
    } catch {
      return this.#break(reason)
    }
  }

  #break(reason: string): AppendOutcome {
    this.#broken ??= `${this.path} cannot be written (${reason}): look after the disk, then restart`
    this.#tellWaiting()
    return { kind: 'unknown', reason }
  }

  #refuseBroken(): void {
    if (this.#broken !== null) throw new HoldfastError('INTERNAL', this.#broken)
  }
}

/** Frames as they are written, some at a time. */
async function* joined(frames: AsyncIterable<Frame>): AsyncGenerator<Buffer> {
  let some: Buffer[] = []
  let size = 0
  for await (const { seq, body } of frames) {
    const frame = encodeFrame(seq, 0, body)
    some.push(frame)
    if ((size += frame.length) < windowSize) continue
    yield Buffer.concat(some)
    some = []
    size = 0
  }
  if (size > 0) yield Buffer.concat(some)
}

/** A4 */
async function makeDurable(handle: FrameFileHandle, { durable, end }: Scanned): Promise<void> {
  if (durable >= end) return
  for (let at = durable; at < end; at += windowSize) {
    await writeAll(handle, await readAt(handle, at, Math.min(windowSize, end - at)), at)
  }
  await handle.datasync()
}
