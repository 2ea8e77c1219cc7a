/** Numbers on a command line. */
import { InvalidArgumentError } from 'commander'

/** A whole number from 1. */
export function parseCount(text: string): number {
  const n = parseWhole(text)
  if (n < 1) throw new InvalidArgumentError('it is a whole number from 1')
  return n
}

/** A whole number from 0. */
export function parseWhole(text: string): number {
  const n = Number(text)
  if (!/^[0-9]{1,16}$/.test(text) || !Number.isSafeInteger(n)) throw new InvalidArgumentError('it is a whole number')
  return n
}

/** A port to listen at; 0: any that is free. */
export function parsePort(text: string): number {
  const n = Number(text)
  if (!/^[0-9]{1,5}$/.test(text) || n > 65_535) throw new InvalidArgumentError('it is a port, 0 to 65535')
  return n
}

/** A number above 0. */
export function parsePositive(text: string): number {
  const n = Number(text)
  if (text.trim() === '' || !(n > 0 && Number.isFinite(n))) throw new InvalidArgumentError('it is a number above 0')
  return n
}
