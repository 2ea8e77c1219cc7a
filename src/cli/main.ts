#!/usr/bin/env node
/** The command `holdfast`. */
import { exitCodes } from './exit-codes.ts'
import { runProgram } from './run-program.ts'

const { argv, env, stdin, stdout, stderr } = process

// Whoever reads this output has seen enough: `holdfast watch … | head -1`.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(exitCodes.ok)
})

const setExitCode = (code: number) => void (process.exitCode = code)
await runProgram({ env, stdin, stdout, stderr, setExitCode }, argv.slice(2))
