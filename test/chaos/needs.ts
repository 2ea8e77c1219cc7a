/** What a machine must have for some faults, found out by trying. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { libfaketime } from './libfaketime.ts'

export interface Need {
  readonly what: string
  /** Why it is not there; `undefined` where it is. */
  readonly missing: () => string | undefined
}

export const networkNamespaces: Need = {
  what: 'the right to make network namespaces, and iptables in them',
  missing: () => failureOf([['unshare', '--net', 'iptables', '-A', 'OUTPUT', '-j', 'DROP']]),
}

export const mounts: Need = {
  what: 'the right to mount a file system in memory',
  missing() {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-mount-'))
    try {
      return failureOf([
        ['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder],
        ['umount', folder],
      ])
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  },
}

export const fakeClocks: Need = {
  what: 'libfaketime, installed or named by LIBFAKETIME',
  missing: () => (libfaketime() === undefined ? 'libfaketime is not installed, and LIBFAKETIME names none' : undefined),
}

function failureOf(commands: readonly (readonly string[])[]): string | undefined {
  try {
    for (const [command, ...args] of commands) execFileSync(command!, args, { stdio: 'pipe' })
    return undefined
  } catch (error) {
    return (error as Error).message.trim().replaceAll(/\s+/g, ' ')
  }
}
