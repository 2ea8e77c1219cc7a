#!/usr/bin/env node
/**
 * The command `holdfast`.
 *
 * M1. Whoever stops reading its output has seen enough, and it ends: `holdfast watch … | head -1`. A node is there for others than its
 *     readers: it goes on, and what cannot be written is dropped.
 */
import { exitCodes } from './exit-codes.ts'
import { runProgram } from './run-program.ts'

const { argv, env, stdin, stdout, stderr } = process

let unread: 'ends' | 'goes on' = 'ends'
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (unread === 'goes on') return
  if (error.code !== 'EPIPE') throw error
  process.exit(exitCodes.ok)
})
stderr.on('error', (error) => {
  if (unread === 'ends') throw error
})

const goOnUnread = () => void (unread = 'goes on')
const setExitCode = (code: number) => void (process.exitCode = code)
await runProgram({ env, stdin, stdout, stderr, setExitCode, goOnUnread }, argv.slice(2))
