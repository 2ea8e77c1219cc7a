#!/usr/bin/env node
/** The command `holdfast`. */
import { CommanderError } from 'commander'
import { exitCodeOf, exitCodes } from './exit-codes.ts'
import { createProgram } from './program.ts'
import { outputOf, type Surroundings } from './run.ts'

const { env, stdin, stdout, stderr } = process
const surroundings: Surroundings = { env, stdin, stdout, stderr, setExitCode: (code) => (process.exitCode = code) }

// Whoever reads this output has seen enough: `holdfast watch … | head -1`.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(exitCodes.ok)
})

const words = process.argv.slice(2)
const program = await createProgram(surroundings, words)
try {
  if (words.length === 0) program.outputHelp()
  else await program.parseAsync(words, { from: 'user' })
} catch (error) {
  // Help and version are no failures.
  if (!(error instanceof CommanderError && error.exitCode === 0)) {
    outputOf(surroundings, words.includes('--json')).error(error)
    process.exitCode = exitCodeOf(error)
  }
}
