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
  if (/no space left|ENOSPC/i.test(`${code} ${message}`)) {
    return new HoldfastError(
      'INTERNAL',
      `no space is left for the store ${path}: free some on its disk, then restart the node`,
      { cause },
    )
  }
  return new HoldfastError(
    'INTERNAL',
    `the store ${path} is damaged or cannot be read (${message}): it has to be set aside and rebuilt`,
    { cause },
  )
}

export function rocksDbUnavailable(cause: unknown): HoldfastError {
  return new HoldfastError(
    'INVALID',
    `RocksDB has no ready-made binary for ${process.platform}-${process.arch} here: use linux-x64 with glibc or darwin-arm64, or install a C++ compiler and run "npm rebuild @nxtedition/rocksdb"`,
    { cause },
  )
}
