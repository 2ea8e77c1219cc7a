/** When what an owner was asked for is asked for again: pages of changes and of entries, which change nothing. */
import type { ErrorCode } from '../protocol/errors.ts'

/** Answers after which the same question may have another one. */
export const transientCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'RETRY',
  'FENCED',
  'OVERLOADED',
  'TIMEOUT',
  'UNKNOWN',
])

const firstBackoffMs = 10
const lastBackoffMs = 200

/** How long to wait after so many failures in a row, from 0: 10 ms at first and up to 200, the half of it by chance (0 to 1). */
export const backOffMs = (failures: number, chance: number): number =>
  Math.min(lastBackoffMs, firstBackoffMs * 2 ** Math.min(failures, 10)) * (0.5 + chance / 2)
