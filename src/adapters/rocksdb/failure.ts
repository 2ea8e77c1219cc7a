/** What went wrong with a store, in the words of the Store port (S3, S4). */
import { HoldfastError } from '../../protocol/errors.ts'

const permission =
  /EACCES|EPERM|EROFS|ENOTDIR|EEXIST|ENOENT|permission denied|operation not permitted|read-only file system|not a directory/i
const unavailable = /No native build was found|ERR_DLOPEN_FAILED|MODULE_NOT_FOUND/

export function storeFailure(path: string, code: string, message: string): HoldfastError {
  const cause = new Error(`${code} ${message}`.trim())
  if (code === 'CLOSED') return new HoldfastError('INTERNAL', `the store ${path} is closed: open it again`)
  if (unavailable.test(`${code} ${message}`)) return rocksDbUnavailable(cause)
  if (code === 'LEVEL_LOCKED') {
    return new HoldfastError(
      'CONFLICT',
      `${path} is in use by another node or process: stop that one, or give this node a directory of its own`,
      { cause },
    )
  }
  if (permission.test(`${code} ${message}`)) {
    return new HoldfastError(
      'INVALID',
      `cannot write to ${path} (${message}): make it a directory that this user may read and write, or choose another`,
      { cause },
    )
  }
  if (/no space left|ENOSPC|quota exceeded|EDQUOT|file too large|EFBIG/i.test(`${code} ${message}`)) {
    // Nothing is damaged: it is a place that cannot be written to, for a while.
    return new HoldfastError('INVALID', `no space is left for the store ${path}: free some on its disk`, { cause })
  }
  return new HoldfastError(
    'INTERNAL',
    `the store ${path} is damaged or cannot be read (${message}): it has to be set aside and rebuilt`,
    { cause },
  )
}

/** The package is not installed, or has no binary that runs here. */
export function rocksDbUnavailable(cause: unknown, here: Platform = platform()): HoldfastError {
  const missing = cause instanceof Error && /Cannot find (?:module|package)/.test(cause.message)
  const what = missing ? 'RocksDB (@nxtedition/rocksdb) is not installed' : 'RocksDB cannot be loaded'
  const where = here.libc === '' ? here.name : `${here.name} with ${here.libc}`
  return new HoldfastError(
    'INVALID',
    `${what}; this is ${where}, and nodes run on linux-x64 with glibc 2.34 or newer and on darwin-arm64: run this one there${missing ? ', and install all dependencies' : ''}. Clients run everywhere: import from "holdfast/client"`,
    { cause },
  )
}

export interface Platform {
  /** As in `linux-x64`. */
  readonly name: string
  /** Of Linux: which C library, with its version if it is known. */
  readonly libc: string
}

function platform(): Platform {
  return { name: `${process.platform}-${process.arch}`, libc: process.platform === 'linux' ? libc() : '' }
}

function libc(): string {
  // Newer than the types of Node.js 20; older ones ignore it.
  const report: NodeJS.ProcessReport & { excludeNetwork?: boolean } = process.report
  const { excludeNetwork = false } = report
  // Else it looks up names of connections, and may wait for that.
  report.excludeNetwork = true
  const { header } = report.getReport() as { readonly header?: { readonly glibcVersionRuntime?: string } }
  report.excludeNetwork = excludeNetwork
  const glibc = header?.glibcVersionRuntime
  return glibc === undefined ? 'another libc than glibc (musl?)' : `glibc ${glibc}`
}
