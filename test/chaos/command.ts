/** A program of the system, run to its end. */
import { execFileSync } from 'node:child_process'

/** Throws with what it complained of. */
export function command(program: string, ...args: readonly string[]): void {
  execFileSync(program, args, { stdio: 'pipe' })
}
