/**
 * Finding the frames of a file, and what is wrong with it.
 *
 * N1. A torn tail is what follows the last whole frame and was never settled: it is cut. Anything else that is not whole is damage: `INTERNAL`,
 *     and the file stays as it is. (A last frame that was settled and damaged later, with nothing behind it, cannot be told from a torn one.)
 */
import { HoldfastError } from '../../protocol/errors.ts'
import { readAt, type FrameFileHandle } from './frame-disk.ts'
import { decodeFileHeader, decodeFrame, decodeHead, fileHeader, frameHeader, nextMagic, type Frame } from './frame.ts'

/** Bytes read at a time. */
export const windowSize = 1_048_576
/** The place of every so many-th frame is kept in memory. */
export const indexEvery = 128
const longestLabel = 65_535

export interface Scanned {
  readonly label: string
  /** Sequences of the first frame and the last one. */
  readonly first: number
  readonly last: number
  /** Of the file, behind its last frame. */
  readonly end: number
  /** How far it is known to be on disk (F2, F3). */
  readonly durable: number
  /** Offsets of the first frame, and each indexEvery further on. */
  readonly index: number[]
}

/** Cuts a torn tail; throws where there is damage (N1). `visit` is called with each frame, in order. */
export async function scan(
  path: string,
  handle: FrameFileHandle,
  visit: ((frame: Frame) => void) | undefined,
): Promise<Scanned> {
  const { size } = await handle.stat()
  const header = decodeFileHeader(await readAt(handle, 0, Math.min(size, fileHeader + longestLabel)))
  if (header === null) throw damaged(path, 0)
  const index: number[] = []
  let end = header.size
  let first = 1
  let last = 0
  let durable = header.madeSize
  for await (const frame of wholeFrames(handle, end, size)) {
    if (last === 0 && frame.seq >= 1) {
      first = frame.seq
      last = first - 1
    }
    if (frame.seq !== last + 1) break
    if ((frame.seq - first) % indexEvery === 0) index.push(end)
    last = frame.seq
    end += frame.size
    durable = Math.max(durable, frame.durable)
    visit?.(frame)
  }
  if (end < header.madeSize) throw damaged(path, end)
  if (end < size) {
    if (await provesDamage(handle, end, size, last)) throw damaged(path, end)
    await handle.truncate(end)
    await handle.datasync()
  }
  return { label: header.label, first, last, end, durable, index }
}

/** Whole frames from `start` on, until one is not whole or the end is reached. */
export async function* wholeFrames(handle: FrameFileHandle, start: number, end: number): AsyncGenerator<Frame> {
  let window: Buffer = Buffer.alloc(0)
  for (let at = start; at < end;) {
    let frame = decodeFrame(window)
    if (frame === null) {
      const needed = decodeHead(window)?.size ?? frameHeader
      window = await readAt(handle, at, Math.min(end - at, Math.max(windowSize, needed)))
      const size = decodeHead(window)?.size ?? 0
      if (size > window.length && size <= end - at) window = await readAt(handle, at, size)
      frame = decodeFrame(window)
    }
    if (frame === null) return
    window = window.subarray(frame.size)
    at += frame.size
    yield frame
  }
}

/** True if a whole frame after `broken` was made when the file had been durable beyond that place (F2). */
async function provesDamage(handle: FrameFileHandle, broken: number, end: number, last: number): Promise<boolean> {
  for (let at = broken; at < end; at += windowSize) {
    // Windows overlap by a header, so that none is missed between two.
    const window = await readAt(handle, at, Math.min(end - at, windowSize + frameHeader))
    for (let i = nextMagic(window, 0); i >= 0; i = nextMagic(window, i + 1)) {
      const head = decodeHead(window.subarray(i))
      if (head === null || head.seq <= last || head.durable <= broken || head.size > end - at - i) continue
      if (decodeFrame(await readAt(handle, at + i, head.size)) !== null) return true
    }
  }
  return false
}

const damaged = (path: string, at: number) =>
  new HoldfastError(
    'INTERNAL',
    `${path} is damaged at byte ${at}, and not only at its end: it is left as it is; restore it from a copy, or recover the cluster from its stores`,
  )
