/**
 * Names of commands and queries: they become methods of references, so some are taken.
 */
import { HoldfastError } from '../protocol/errors.ts'
import { maxTokenBytes } from '../protocol/subjects.ts'

/** Names that would break a reference: promises, JSON and classes look for them, every object has them, or a reference has them itself. */
export const reservedNames = [
  'then',
  'catch',
  'finally',
  'constructor',
  'toJSON',
  'toString',
  'toLocaleString',
  'valueOf',
  'hasOwnProperty',
  'isPrototypeOf',
  'propertyIsEnumerable',
  '__defineGetter__',
  '__defineSetter__',
  '__lookupGetter__',
  '__lookupSetter__',
  '__proto__',
  'key',
  'type',
  'watch',
  'tell',
  'with',
  'measured',
] as const

export type ReservedName = (typeof reservedNames)[number]

const name = /^[A-Za-z0-9_$-]+$/

const isReserved = (text: string): boolean => (reservedNames as readonly string[]).includes(text)

/** Whether it fits into a subject. `$` takes three bytes of a token there. */
const fits = (text: string): boolean => name.test(text) && text.replaceAll('$', '=24').length <= maxTokenBytes

/** Whether a command or a query can have this name. */
export const isMethodName = (text: string): boolean => !isReserved(text) && fits(text)

/** Throws `INVALID` unless `text` can name a command or a query of the actor type `type`. */
export function checkMethodName(text: string, type: string): void {
  if (isReserved(text)) {
    throw new HoldfastError(
      'INVALID',
      `actor "${type}": the name "${text}" is reserved, choose another for this command or query`,
    )
  }
  if (!fits(text)) {
    throw new HoldfastError(
      'INVALID',
      `actor "${type}": "${text.slice(0, 40)}" cannot name a command or query, use up to ${maxTokenBytes} of A-Z a-z 0-9 _ $ -, each $ counting three`,
    )
  }
}
