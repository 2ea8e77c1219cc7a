/**
 * One holder of a directory at a time, in this process or in another.
 *
 * The lock is that of a tiny RocksDB database `<directory>/node`: the operating system takes it back when the process dies,
 * however it dies, and RocksDB itself guards it within a process.
 */
import { mkdir, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { Disk } from './disk.ts'
import { leastCache, leastMemtables } from './disk-protocol.ts'
import { storeFailure } from './failure.ts'

export class DirectoryLock {
  /** The thread that holds the lock; it may open stores in the directory. */
  readonly disk: Disk
  readonly #path: string

  /** Makes the directory if need be. Throws `CONFLICT` while another holds it, `INVALID` where permission is missing. */
  static async take(directory: string): Promise<DirectoryLock> {
    await makeDirectory(resolve(directory)).catch((error: NodeJS.ErrnoException) => {
      throw storeFailure(directory, error.code ?? '', error.message)
    })
    const disk = new Disk()
    const path = join(directory, 'node')
    try {
      await disk.ask(directory, {
        op: 'open',
        path,
        options: {
          createIfMissing: true,
          compaction: 'universal',
          memtableMemoryBudget: leastMemtables,
          cacheSize: leastCache,
          walCompression: false,
        },
      })
    } catch (error) {
      await disk.close()
      throw error
    }
    return new DirectoryLock(disk, path)
  }

  private constructor(disk: Disk, path: string) {
    this.disk = disk
    this.#path = path
  }

  /** Close what was opened with `disk` before. */
  async release(): Promise<void> {
    try {
      await this.disk.ask(this.#path, { op: 'close', path: this.#path })
    } finally {
      await this.disk.close()
    }
  }
}

/** With all above it. Node's own way to do that goes round for ever where a directory holds none (in /proc). */
async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && (await isDirectory(path))) return
    if (code !== 'ENOENT' || (await isDirectory(dirname(path)))) throw error
    await makeDirectory(dirname(path))
    await makeDirectory(path)
  }
}

const isDirectory = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
