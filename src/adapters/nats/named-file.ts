/** A file that a setting names. What goes wrong is told with its name, never with what is in it. */
import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { HoldfastError } from '../../protocol/errors.ts'

/** Larger ones are none of a key, a certificate or credentials; also keeps a setting from reading a device for ever. */
const maxBytes = 1024 * 1024

/** Throws `INVALID`. */
export function readNamedFile(setting: string, path: string): string {
  const named = `\`${setting}\` names the file ${resolve(path)}, which`
  try {
    const found = statSync(path)
    if (!found.isFile()) throw refused(`${named} is not a file: name one`)
    if (found.size > maxBytes) throw refused(`${named} has more than ${maxBytes} bytes: name another`)
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof HoldfastError) throw error
    throw refused(
      `${named} ${sentences[(error as NodeJS.ErrnoException).code ?? ''] ?? 'cannot be read: name another'}`,
    )
  }
}

const sentences: Readonly<Record<string, string>> = {
  ENOENT: 'is not there: correct the name',
  ENOTDIR: 'is not there: correct the name',
  EACCES: 'this user may not read: give it the permission',
  EPERM: 'this user may not read: give it the permission',
}

const refused = (message: string) => new HoldfastError('INVALID', message)
