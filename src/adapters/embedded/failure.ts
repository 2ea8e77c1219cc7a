/** What a file of the embedded server failed by, as the user's error. */
import { HoldfastError, isHoldfastError, messageOf } from '../../protocol/errors.ts'

const permission = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST', 'EISDIR'])

export function fileFailure(path: string, cause: unknown): HoldfastError {
  if (isHoldfastError(cause)) return cause
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  if (permission.has(code)) {
    return new HoldfastError(
      'INVALID',
      `cannot use ${path} (${messageOf(cause)}): make its directory one that this user may read and write, or choose another`,
      { cause },
    )
  }
  return new HoldfastError('INTERNAL', `cannot use ${path} (${messageOf(cause)}): look after its disk, then restart`, {
    cause,
  })
}
