/** What may be called an object, and how large it may be: the same for every adapter of the Objects port. */
import { HoldfastError } from '../protocol/errors.ts'

/** Bytes of an object, at most. */
export const maxObjectBytes = 8 * 1_024 * 1_024
/** Characters of an object's name, at most. */
export const maxObjectName = 100

const namePattern = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/

export const isObjectName = (name: string): boolean => name.length <= maxObjectName && namePattern.test(name)

/** Throws `INVALID` where it is none. */
export function checkObjectName(name: string): void {
  if (isObjectName(name)) return
  throw new HoldfastError(
    'INVALID',
    `${JSON.stringify(name.slice(0, 2 * maxObjectName))} is not the name of an object: write tokens of A-Z, a-z, 0-9, "_" and "-" joined by ".", at most ${maxObjectName} characters`,
  )
}

/** The empty prefix stands for all objects. */
export function checkObjectPrefix(prefix: string): void {
  if (prefix !== '') checkObjectName(prefix)
}

/** Throws `INVALID` for a name that is none, and for more bytes than an object may have. */
export function checkObject(name: string, bytes: Uint8Array): void {
  checkObjectName(name)
  if (bytes.length <= maxObjectBytes) return
  throw new HoldfastError(
    'INVALID',
    `the object ${name} has ${bytes.length} bytes, and may have ${maxObjectBytes}: cut it into several`,
  )
}

/** True if `name` begins with all tokens of `prefix`. */
export const isObjectUnder = (prefix: string, name: string): boolean =>
  prefix === '' || name === prefix || (name.startsWith(prefix) && name[prefix.length] === '.')

/** Names are ASCII. */
export const byName = (a: { readonly name: string }, b: { readonly name: string }): number =>
  a.name < b.name ? -1 : Number(a.name > b.name)

export const isTaken = (name: string): HoldfastError =>
  new HoldfastError(
    'CONFLICT',
    `there is an object ${name} with other bytes, and an object is never changed: choose another name`,
  )

export const isDamaged = (name: string, how: string): HoldfastError =>
  new HoldfastError(
    'INTERNAL',
    `the object ${name} is damaged (${how}): restore it from a copy, or delete it and make another`,
  )
