/** What the processes of a scene get, and how one is started. */
import { fork } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Child } from '../examples/support/child.ts'
import type { Teardown } from '../examples/support/teardown.ts'

export interface Surroundings {
  /** Of one scene alone; removed at its end. */
  readonly folder: string
  readonly teardown: Teardown
  /** What must not happen. */
  readonly troubles: string[]
  /** Folder for CPU profiles, in which each process has one of its own. `undefined`: none are taken. */
  readonly profile: string | undefined
}

/** Runs a script of this folder, compiled, as users run their processes. It ends when it is let go of, by the teardown at the latest. */
export function startScript<M extends { readonly kind: string }>(
  { folder, teardown, troubles, profile }: Surroundings,
  name: string,
  script: string,
  args: readonly string[],
): Child<M> {
  const forked = fork(fileURLToPath(new URL(`${script}.js`, import.meta.url)), args, {
    cwd: folder,
    env: { ...process.env, NODE_ENV: 'production' },
    execArgv: profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${join(profile, name)}`],
    detached: true,
  })
  const child = new Child<M>(forked, name, troubles)
  teardown.add(() => child.end('disconnect'))
  return child
}
