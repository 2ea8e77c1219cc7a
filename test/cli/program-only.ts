/** The program's commands without a process around them, for tests that only look at them. */
import type { Command } from 'commander'
import { createProgram } from '../../src/cli/program.ts'

export function programOnly(write: (text: string) => void = () => {}): Command {
  const stream = { isTTY: false, write } as unknown as NodeJS.WriteStream
  return createProgram({
    env: {},
    stdin: process.stdin,
    stdout: stream,
    stderr: stream,
    setExitCode: () => {},
  })
}

/** All commands that do something, with their words. */
export function commandsOf(
  command: Command,
  path: readonly string[] = [],
): readonly { command: Command; path: readonly string[] }[] {
  if (command.commands.length === 0) return [{ command, path }]
  return command.commands.flatMap((each) => commandsOf(each, [...path, each.name()]))
}
