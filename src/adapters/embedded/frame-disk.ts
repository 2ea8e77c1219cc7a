/** What frame files do to a disk. A single call of the operating system may read or write less than it was asked to. */
import { open, type FileHandle } from 'node:fs/promises'

/** The part of a file handle that is used. */
export type FrameFileHandle = Pick<FileHandle, 'read' | 'write' | 'datasync' | 'truncate' | 'stat' | 'close'>

/** Tests put a failing one in its place. */
export interface FrameDisk {
  /** Of an existing file, for reading and writing. */
  readonly open: (path: string) => Promise<FrameFileHandle>
  /** So that a new name in it survives a power cut. */
  readonly syncFolder: (path: string) => Promise<void>
}

export const frameDisk: FrameDisk = {
  open: (path) => open(path, 'r+'),
  async syncFolder(path) {
    const folder = await open(path, 'r')
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  },
}

/** Fewer only at the end of the file. */
export async function readAt(handle: Pick<FileHandle, 'read'>, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, position + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}

export async function writeAll(handle: Pick<FileHandle, 'write'>, bytes: Buffer, position: number): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, written, bytes.length - written, position + written)
    written += bytesWritten
  }
}
