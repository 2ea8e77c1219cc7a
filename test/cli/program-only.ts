/** The program's commands without a process around them, for tests that only look at them. */
import { Readable } from 'node:stream'
import type { Command } from 'commander'
import { createProgram } from '../../src/cli/program.ts'
import { runProgram } from '../../src/cli/run-program.ts'

const streamTo = (write: (text: string) => void) => ({ isTTY: false, write }) as unknown as NodeJS.WriteStream

export function programOnly(write: (text: string) => void = () => {}, words: readonly string[] = []): Promise<Command> {
  const stream = streamTo(write)
  return createProgram(
    { env: {}, stdin: process.stdin, stdout: stream, stderr: stream, setExitCode: () => {}, goOnUnread: () => {} },
    words,
  )
}

/** All commands that do something, with their words. */
export function commandsOf(
  command: Command,
  path: readonly string[] = [],
): readonly { command: Command; path: readonly string[] }[] {
  if (command.commands.length === 0) return [{ command, path }]
  return command.commands.flatMap((each) => commandsOf(each, [...path, each.name()]))
}

export interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>
  /** What it reads from standard input. Default: nothing. */
  readonly stdin?: string
}

/** Runs it in this process, which takes a twentieth of the time that one of its own takes. */
export async function runHere(words: readonly string[], { env = {}, stdin = '' }: ProgramOptions = {}) {
  const said = { code: 0, stdout: '', stderr: '' }
  const surroundings = {
    env,
    stdin: Readable.from([stdin]) as unknown as NodeJS.ReadStream,
    stdout: streamTo((text) => (said.stdout += text)),
    stderr: streamTo((text) => (said.stderr += text)),
    setExitCode: (code: number) => void (said.code = code),
    goOnUnread: () => {},
  }
  await runProgram(surroundings, words)
  return said
}
