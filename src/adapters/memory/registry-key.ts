import { HoldfastError } from '../../protocol/errors.ts'

const keyPattern = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/

export function checkKey(key: string): void {
  if (!keyPattern.test(key)) {
    throw new HoldfastError(
      'INVALID',
      `${JSON.stringify(key)} is not a registry key: write tokens of A-Z, a-z, 0-9, "_" and "-" joined by "."`,
    )
  }
}

/** The empty prefix stands for all keys. */
export function checkPrefix(prefix: string): void {
  if (prefix !== '') checkKey(prefix)
}

/** True if `key` begins with all tokens of `prefix`. */
export const isUnder = (prefix: string, key: string): boolean =>
  prefix === '' || key === prefix || (key.startsWith(prefix) && key[prefix.length] === '.')
