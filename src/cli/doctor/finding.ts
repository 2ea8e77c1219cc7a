/** What a check of `doctor` has to say. */
import type { Mark } from '../output.ts'

export interface Finding {
  /** `skip`: it cannot be known from here, and why. */
  readonly mark: Mark | 'skip'
  /** What was looked at. */
  readonly check: string
  readonly says: string
  /** What to do about it. */
  readonly advice?: string
}

export const ok = (check: string, says: string): Finding => ({ mark: 'ok', check, says })
export const warn = (check: string, says: string, advice: string): Finding => ({ mark: 'warn', check, says, advice })
export const fail = (check: string, says: string, advice: string): Finding => ({ mark: 'fail', check, says, advice })
export const skip = (check: string, says: string): Finding => ({ mark: 'skip', check, says })

/** A few numbers of a list, for a sentence. */
export function some(numbers: readonly (number | string)[]): string {
  return numbers.length > 8 ? `${numbers.slice(0, 8).join(', ')} and ${numbers.length - 8} more` : numbers.join(', ')
}
