/**
 * Sees to it that what a test has started ends with the test process, however that one ends: a shell holds the other end of a pipe,
 * and when the pipe closes it kills the processes (a stopped one, too) and removes the folder.
 */
import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'

export class Guardian {
  readonly #shell
  readonly #pids = new Set<number>()

  constructor(folder: string) {
    // The last line on its standard input is the list of those that run.
    const script =
      'pids=; while read -r line; do pids=$line; done; for pid in $pids; do kill -KILL "$pid"; done; rm -rf -- "$1"'
    this.#shell = spawn('/bin/sh', ['-c', script, 'holdfast-e2e-guardian', folder], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    })
    this.#shell.unref()
    ;(this.#shell.stdin as Socket).unref()
  }

  watch(pid: number): void {
    this.#pids.add(pid)
    this.#tell()
  }

  forget(pid: number): void {
    this.#pids.delete(pid)
    this.#tell()
  }

  /** Everything has ended, and the folder is gone. */
  dismiss(): void {
    this.#shell.kill('SIGKILL')
  }

  #tell(): void {
    this.#shell.stdin.write(`${[...this.#pids].join(' ')}\n`)
  }
}
