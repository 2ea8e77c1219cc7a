/** What clients, tasks and entries check of what they are given for a store, with one sentence for each that is wrong. */
import { HoldfastError } from '../protocol/errors.ts'
import { checkName, maxNameBytes } from '../protocol/subjects.ts'

/** Throws `INVALID` unless it can be the key of an entry. */
export function checkKey(key: unknown): void {
  if (typeof key !== 'string') throw invalid('a key is a text')
  checkName(key, 'key')
}

/** A bound of a range, which may be empty, unlike a key. Throws `INVALID`; `what` names it there. */
export function bound(text: string | undefined, what: string): string | undefined {
  if (text === undefined || text === '') return text
  if (typeof text !== 'string') throw invalid(`"${what}" is a text`)
  if (Buffer.byteLength(text) > maxNameBytes) throw invalid(`"${what}" has at most ${maxNameBytes} bytes, as keys have`)
  checkName(text, 'key')
  return text
}

/** Throws `INVALID` unless it can be the rev of an entry. */
export function checkedRev(rev: unknown): number {
  if (Number.isSafeInteger(rev) && (rev as number) >= 0) return rev as number
  throw invalid('a rev is the whole number that came with an entry')
}

/** Throws `INVALID` unless it is left out or can be a number of entries. */
export function checkLimit(limit: number | undefined): void {
  if (limit === undefined || (Number.isSafeInteger(limit) && limit >= 0)) return
  throw invalid('a limit is a whole number from 0')
}

/** Each key once. Throws `INVALID` for what is no list of them, as a text is, though its characters can be iterated. */
export function keySet(keys: Iterable<string>): Set<string> {
  if (!isIterable(keys)) throw invalid("give the keys as an array or another iterable: ['u1', 'u2']")
  return new Set(keys)
}

/** By key, of one that comes twice the last. Throws `INVALID` for what is no list of pairs. */
export function entryMap<V>(entries: Iterable<readonly [key: string, value: V]>): Map<string, V> {
  if (!isIterable(entries)) throw noPairs()
  const found = new Map<string, V>()
  for (const entry of entries) {
    if (!Array.isArray(entry)) throw noPairs()
    found.set(entry[0], entry[1])
  }
  return found
}

const noPairs = () => invalid("give the entries as a Map, or as pairs of a key and a value: [['u1', 1], ['u2', 2]]")

const isIterable = (given: unknown): boolean => typeof given === 'object' && given !== null && Symbol.iterator in given

/** Throws `CONFLICT` unless the entry is there and has this rev. */
export function requireRev(
  key: string,
  entry: { readonly exists: boolean; readonly rev: number },
  expected: number,
): void {
  if (entry.exists && entry.rev === expected) return
  const is = entry.exists ? `has rev ${entry.rev}` : 'is not there'
  throw new HoldfastError('CONFLICT', `the entry "${key}" ${is}, not rev ${expected}: read it again`)
}

const invalid = (message: string) => new HoldfastError('INVALID', message)
