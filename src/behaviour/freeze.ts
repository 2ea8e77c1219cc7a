/**
 * Freezes the state that a query is shown, so that a query that writes fails where it writes, in development, instead of losing what it
 * wrote in silence.
 *
 * Arrays and objects are frozen all the way down. Bytes cannot be frozen, and a frozen Date can still be set: what a query does to those is
 * lost, as everything is where queries are not frozen.
 */
import type { Value } from '../protocol/values.ts'

/** Freezes a value and all that it holds. It is at most as deep as values are. */
export function freezeDeep(value: Value): void {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array || value instanceof Date) return
  for (const part of Object.values(value)) freezeDeep(part)
  Object.freeze(value)
}
