/**
 * What processes take, by the kernel's account: CPU time, which a busy machine changes little, and memory. Only Linux tells; elsewhere
 * all is `NaN`, and no process has children.
 */
import { readFileSync } from 'node:fs'

/** Of `utime` and `stime` in /proc: USER_HZ, which Linux shows as 100 to all programs. */
const tickMs = 10

/** User and system time of these processes so far, all their threads, ms. */
export function cpuMs(pids: readonly number[]): number {
  let ticks = 0
  for (const pid of pids) {
    const fields = procFile(pid, 'stat')
    // The second field is the command's name in brackets, and may hold spaces.
    const rest = fields?.slice(fields.lastIndexOf(')') + 2).split(' ')
    ticks += Number(rest?.[11]) + Number(rest?.[12])
  }
  return ticks * tickMs
}

/** Resident memory of a process, MB (10⁶ bytes). */
export function residentMb(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(procFile(pid, 'status') ?? '')?.[1]
  return (Number(kib) * 1_024) / 1e6
}

/** The processes that this one has started and that live, and theirs. */
export function descendants(pid: number): readonly number[] {
  const children = procFile(pid, `task/${pid}/children`)?.trim()
  if (children === undefined || children === '') return []
  return children
    .split(' ')
    .map(Number)
    .flatMap((child) => [child, ...descendants(child)])
}

function procFile(pid: number, name: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8')
  } catch {
    return undefined
  }
}
