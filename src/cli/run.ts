/**
 * One run of the program: what a command is given, and what becomes of how it ends.
 *
 * R1. Whatever happens ends in an exit code and at most one sentence (exit-codes.ts, output.ts).
 * R2. Nothing here calls `process.exit`: what a command opens it closes, and the process ends by itself.
 */
import type { Command } from 'commander'
import type { Observer } from '../ports/observer.ts'
import { exitCodeOf, exitHelp, exitCodes } from './exit-codes.ts'
import { Output } from './output.ts'
import { CliSession } from './session.ts'
import { settingsOf, type Settings } from './settings.ts'

/** The process around a run, given by main.ts. */
export interface Surroundings {
  readonly env: NodeJS.ProcessEnv
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  readonly setExitCode: (code: number) => void
  /** From now on the process does not end for want of readers (M1 of main.ts). */
  readonly goOnUnread: () => void
}

/** What a command's action works with. */
export interface Run {
  readonly command: Command
  readonly output: Output
  readonly surroundings: Surroundings
  settings(): Settings
  /** Opened once, closed at the end of the run. */
  session(): Promise<CliSession>
}

export const outputOf = ({ env, stdout, stderr }: Surroundings, json: boolean): Output =>
  new Output({
    json,
    colour: stdout.isTTY && env['NO_COLOR'] === undefined && env['TERM'] !== 'dumb',
    write: (text) => void stdout.write(text),
    complain: (text) => void stderr.write(text),
  })

export interface CommandText {
  /** Lines of a shell, without the prompt. */
  readonly examples: readonly string[]
  /** Besides `ok`. */
  readonly exits: readonly number[]
  /** Further explanation, as paragraphs. */
  readonly more?: string
}

/** Completes a command: examples and exit codes in its help, and an action whose end becomes the exit code (R1). */
export function define(
  command: Command,
  surroundings: Surroundings,
  { examples, exits, more }: CommandText,
  action: (run: Run, ...args: string[]) => Promise<number | void>,
): void {
  const lines = [
    ...(more === undefined ? [] : [more]),
    ['Examples:', ...examples.map((line) => `  $ ${line}`)].join('\n'),
  ]
  command.addHelpText('after', `\n${[...lines, exitHelp([exitCodes.ok, ...exits])].join('\n\n')}`)
  command.action(async (...given: unknown[]) => {
    // Commander adds the options and the command itself; an argument that is left out is undefined.
    const args = given.slice(0, -2) as string[]
    const output = outputOf(surroundings, command.optsWithGlobals<{ json?: true }>().json === true)
    let session: Promise<CliSession> | undefined
    let known: Settings | undefined
    const settings = () => (known ??= settingsOf(command, surroundings.env, complaintsTo(output)))
    const run: Run = {
      command,
      output,
      surroundings,
      settings: () => settings(),
      session: () => (session ??= CliSession.open(settings())),
    }
    try {
      surroundings.setExitCode((await action(run, ...args)) ?? exitCodes.ok)
    } catch (error) {
      output.error(error)
      surroundings.setExitCode(exitCodeOf(error))
    } finally {
      await session?.then(
        (opened) => opened.close(),
        () => {},
      )
    }
  })
}

/** Exit codes of a command that talks to a node. */
export const remoteExits = [exitCodes.usage, exitCodes.again, exitCodes.internal]

const complaintsTo = (output: Output): Observer => ({
  emit(event) {
    if (event.type !== 'environment.unknown') return
    output.note(`the variable ${event.variable} means nothing: do you mean ${event.nearest}?`)
  },
})
