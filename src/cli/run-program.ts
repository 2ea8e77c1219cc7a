import { CommanderError } from 'commander'
import { exitCodeOf } from './exit-codes.ts'
import { createProgram } from './program.ts'
import { outputOf, type Surroundings } from './run.ts'

/** Runs one command line to its end. What it has come to is told to the surroundings; it rejects never. */
export async function runProgram(surroundings: Surroundings, words: readonly string[]): Promise<void> {
  const program = await createProgram(surroundings, words)
  try {
    if (words.length === 0) program.outputHelp()
    else await program.parseAsync(words, { from: 'user' })
  } catch (error) {
    // Help and version are no failures.
    if (error instanceof CommanderError && error.exitCode === 0) return
    outputOf(surroundings, words.includes('--json')).error(error)
    surroundings.setExitCode(exitCodeOf(error))
  }
}
