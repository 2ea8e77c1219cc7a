/**
 * Durations as users write them. Inside, every duration is a number of milliseconds whose name ends in `Ms`.
 */
import { HoldfastError } from './errors.ts'

/** Milliseconds, or a number with its unit: `'200ms'`, `'2s'`, `'5m'`, `'2h'`, `'30d'`. At most 100 years. */
export type Duration = number | `${number}${Unit}`

type Unit = 'ms' | 's' | 'm' | 'h' | 'd'

const unitsMs: Readonly<Record<Unit, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

const pattern = /^([0-9]{1,15}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)$/

/** A hundred years: added to any time that there is, it is a whole number still. */
export const longestDurationMs = 100 * 366 * 86_400_000

/** Milliseconds of a duration. `what` names it in the message of the `INVALID` that anything else throws. */
export function durationMs(duration: Duration, what: string): number {
  const ms = typeof duration === 'number' ? duration : msOf(duration)
  if (!(ms >= 0)) {
    throw new HoldfastError(
      'INVALID',
      `${what} is not a duration: use milliseconds from 0, or a text such as '200ms', '2s', '5m', '2h' or '30d'`,
    )
  }
  if (ms > longestDurationMs) throw new HoldfastError('INVALID', `${what} is more than 100 years`)
  return ms
}

/** The same of a text from outside the program, where a whole number alone is milliseconds: an option of the command line, a variable. */
export function durationMsOfText(text: string, what: string): number {
  return durationMs((/^[0-9]+$/.test(text) ? Number(text) : text) as Duration, what)
}

function msOf(text: unknown): number {
  const match = typeof text === 'string' ? pattern.exec(text) : null
  return match === null ? Number.NaN : Number(match[1]) * unitsMs[match[2] as Unit]
}
