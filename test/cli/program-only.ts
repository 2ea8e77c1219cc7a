/** The program's commands without a process around them, for tests that only look at them. */
import type { Command } from 'commander'
import { createProgram } from '../../src/cli/program.ts'

export function programOnly(write: (text: string) => void = () => {}, words: readonly string[] = []): Promise<Command> {
  const stream = { isTTY: false, write } as unknown as NodeJS.WriteStream
  return createProgram({ env: {}, stdin: process.stdin, stdout: stream, stderr: stream, setExitCode: () => {} }, words)
}

/** All commands that do something, with their words. */
export function commandsOf(
  command: Command,
  path: readonly string[] = [],
): readonly { command: Command; path: readonly string[] }[] {
  if (command.commands.length === 0) return [{ command, path }]
  return command.commands.flatMap((each) => commandsOf(each, [...path, each.name()]))
}

/** Runs it in this process, which is faster than one of its own. */
export async function runProgram(
  words: readonly string[],
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const said = { code: 0, stdout: '', stderr: '' }
  const stream = (name: 'stdout' | 'stderr') =>
    ({ isTTY: false, write: (text: string) => void (said[name] += text) }) as unknown as NodeJS.WriteStream
  const surroundings = {
    env: {},
    stdin: process.stdin,
    stdout: stream('stdout'),
    stderr: stream('stderr'),
    setExitCode: (code: number) => void (said.code = code),
  }
  const program = await createProgram(surroundings, words)
  await program.parseAsync([...words], { from: 'user' })
  return said
}
