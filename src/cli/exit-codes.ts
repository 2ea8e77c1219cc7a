/**
 * How a run ends, for scripts: one number for each kind of end, the same for all commands.
 */
import { CommanderError } from 'commander'
import { isHoldfastError, type ErrorCode } from '../protocol/errors.ts'

export const exitCodes = {
  ok: 0,
  /** The handler threw, or a check found something wrong. */
  failed: 1,
  /** The request can never succeed as it is. */
  usage: 2,
  /** Nothing happened. */
  again: 3,
  /** It may have happened, or goes on. */
  unknown: 4,
  /** There is no such thing, or it is not as the request says. */
  conflict: 5,
  /** A bug, or something is damaged. */
  internal: 6,
} as const

/** What the help of each command says. */
const meanings: Readonly<Record<number, string>> = {
  [exitCodes.ok]: 'done',
  [exitCodes.failed]: 'it failed: the handler threw, or a check found something wrong',
  [exitCodes.usage]: 'it can never succeed as it is: wrong arguments, settings, credentials',
  [exitCodes.again]: 'nothing happened: no server or node answers, or too busy; try again',
  [exitCodes.unknown]: 'it may have happened, or goes on: look, or repeat with the --id that the message names',
  [exitCodes.conflict]: 'there is no such thing, or it is not as the request says',
  [exitCodes.internal]: 'a bug, or something is damaged',
}

const byCode: Readonly<Record<ErrorCode, number>> = {
  FAILED: exitCodes.failed,
  DEADLOCK: exitCodes.failed,
  INVALID: exitCodes.usage,
  RETRY: exitCodes.again,
  TIMEOUT: exitCodes.again,
  OVERLOADED: exitCodes.again,
  FENCED: exitCodes.again,
  UNKNOWN: exitCodes.unknown,
  NOT_FOUND: exitCodes.conflict,
  CONFLICT: exitCodes.conflict,
  EXPIRED: exitCodes.conflict,
  INTERNAL: exitCodes.internal,
}

export function exitCodeOf(error: unknown): number {
  if (isHoldfastError(error)) return byCode[error.code] ?? exitCodes.internal
  return error instanceof CommanderError ? exitCodes.usage : exitCodes.internal
}

/** The lines of a help that tell the exit codes. */
export function exitHelp(codes: readonly number[]): string {
  return ['Exit codes:', ...codes.toSorted((a, b) => a - b).map((code) => `  ${code}  ${meanings[code]}`)].join('\n')
}
