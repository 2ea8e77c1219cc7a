/**
 * How things are called within a partition: keyed actors, and what the partition keeps for itself in the same way.
 *
 * Types that begin with a dot are the partition's own: no definition has them, no request reaches them, their changes are not
 * published, and they leave no tombstone.
 */
import { encodeToken } from '../protocol/subjects.ts'

/** Names an actor within its partition; types cannot run into keys, because a token has no `.`. */
export function actorId(type: string, key: string): string {
  // Most ids are asked for one type after the other.
  if (type !== lastType) {
    lastPrefix = `${encodeToken(type)}.`
    lastType = type
  }
  return lastPrefix + key
}

let lastType = ''
let lastPrefix = ''

/** The key in an id. */
export const keyOf = (id: string): string => id.slice(id.indexOf('.') + 1)

export const isOwnType = (type: string): boolean => type.startsWith('.')

/** Replies kept by idempotency keys (partition/kept-reply.ts). */
export const keptType = '.kept'

const keptIds = `${encodeToken(keptType)}.`
const ownIds = encodeToken('.')

export const isKeptId = (id: string): boolean => id.startsWith(keptIds)

export const isOwnId = (id: string): boolean => id.startsWith(ownIds)
