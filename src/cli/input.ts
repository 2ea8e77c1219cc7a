/**
 * Values as they are written on a command line: JSON, in the forms of values (`{"$date": …}`), from the argument, a file or standard
 * input.
 */
import { readFile } from 'node:fs/promises'
import { HoldfastError } from '../protocol/errors.ts'
import { fromJson, type Value } from '../protocol/values.ts'

/** What an input may be, for helps. */
export const inputHelp = 'JSON, "@file" for the JSON in a file, "-" for that on standard input'

/** Nothing is null. Throws `INVALID`. */
export async function inputOf(argument: string | undefined, stdin: AsyncIterable<Uint8Array | string>): Promise<Value> {
  if (argument === undefined) return null
  const text = await textOf(argument, stdin)
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    const example = /^[\w .-]+$/.test(text) && argument === text ? `: for a text write '"${text}"'` : ''
    throw new HoldfastError('INVALID', `the input ${shown(argument)} is not JSON${example}`, { cause })
  }
  return fromJson(json)
}

async function textOf(argument: string, stdin: AsyncIterable<Uint8Array | string>): Promise<string> {
  if (argument === '-') {
    const pieces: Buffer[] = []
    for await (const piece of stdin) pieces.push(Buffer.from(piece as Uint8Array))
    return Buffer.concat(pieces).toString('utf8')
  }
  if (!argument.startsWith('@')) return argument
  const path = argument.slice(1)
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new HoldfastError('INVALID', `the file ${path} cannot be read: give one that is there`, { cause })
  }
}

const shown = (text: string) => (text.length > 40 ? `${text.slice(0, 40)}…` : text)
