/**
 * What a command says: values on standard output, everything else on standard error.
 *
 * O1. With `--json` standard output holds JSON and nothing else: one value, or one in each line of a stream. Notes are left out.
 * O2. Colours only where standard output is a terminal and `NO_COLOR` is not set.
 * O3. An error is one sentence on one line, with `--json` one object `{"error":{"code","message",…}}`; never a stack.
 */
import Table from 'cli-table3'
import { CommanderError } from 'commander'
import { isHoldfastError, messageOf } from '../protocol/errors.ts'

export type Mark = 'ok' | 'warn' | 'fail'

const colours: Readonly<Record<Mark, number>> = { ok: 32, warn: 33, fail: 31 }

/** Without frames: columns two spaces apart. */
const bare = Object.fromEntries(
  ['top', 'bottom', 'left', 'right', 'mid', 'middle']
    .flatMap((side) => [side, `${side}-mid`, `${side}-left`, `${side}-right`])
    .map((name) => [name, '']),
)

export interface OutputOptions {
  readonly json: boolean
  /** Whether the terminal may be sent colours (O2). */
  readonly colour: boolean
  readonly write: (text: string) => void
  readonly complain: (text: string) => void
}

export class Output {
  readonly json: boolean
  readonly #options: OutputOptions

  constructor(options: OutputOptions) {
    this.json = options.json
    this.#options = options
  }

  /** One JSON value with `--json`, else the text. */
  result(value: unknown, text: string | (() => string)): void {
    this.#line(this.json ? JSON.stringify(value) : typeof text === 'string' ? text : text())
  }

  /** For people: nothing with `--json` (O1). */
  note(text: string): void {
    if (!this.json) this.#options.complain(`${text}\n`)
  }

  /** O3 */
  error(error: unknown): void {
    this.#options.complain(`${this.json ? JSON.stringify({ error: errorBody(error) }) : sentenceOf(error)}\n`)
  }

  table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
    const table = new Table({
      head: head.map((title) => this.#coded(1, title)),
      chars: { ...bare, middle: '  ' },
      style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    })
    for (const row of rows) table.push(row.map((cell) => String(cell)))
    return table
      .toString()
      .split('\n')
      .map((line) => line.trimEnd())
      .join('\n')
  }

  mark(mark: Mark, text: string = mark): string {
    return this.#coded(colours[mark], text)
  }

  #coded(code: number, text: string): string {
    return this.#options.colour ? `\u001B[${code}m${text}\u001B[0m` : text
  }

  #line(text: string): void {
    this.#options.write(`${text}\n`)
  }
}

function sentenceOf(error: unknown): string {
  if (error instanceof CommanderError) return `${oneLine(error.message.replace(/^error: /, ''))}; see --help`
  return oneLine(messageOf(error))
}

function errorBody(error: unknown): object {
  if (!isHoldfastError(error)) {
    return { code: error instanceof CommanderError ? 'INVALID' : 'INTERNAL', message: sentenceOf(error) }
  }
  const { code, id, retryAfterMs, path, cycle } = error
  return { code, message: sentenceOf(error), id, retryAfterMs, path, cycle }
}

/** What a handler threw may have several lines. */
const oneLine = (text: string) => text.split(/\s*\n\s*/).join(' ')
