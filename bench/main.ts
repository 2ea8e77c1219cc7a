/**
 * The bench: what a cluster does, measured through the public client on servers and nodes that it starts itself (docs/performance.md).
 *
 *   npm run bench [-- --only <names> --json --peers …]     --help has all options
 *
 * B1. A rate counts operations whose answer came; after each round every key's rev is compared with the acknowledgements.
 * B2. A scene in which anything went wrong, or did not end well, has no figures, and the exit is not zero. The others are measured all
 *     the same.
 * B3. Figures go to stdout when all are there; what happens meanwhile goes to stderr.
 * B4. However it ends, no process of it lives on, and its data is gone.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Teardown } from '../examples/support/teardown.ts'
import type { Figure } from './figure.ts'
import { toJson } from './json.ts'
import { describeMachine } from './machine.ts'
import { newestServer } from './newest-server.ts'
import { parseOptions, wanted, type Options } from './options.ts'
import { profiled } from './profile.ts'
import type { Bench, Scene } from './scene.ts'
import { scenes } from './scenes/index.ts'
import { digits, table } from './table.ts'

class Interrupted extends Error {}

const interrupted = new Promise<never>((_, reject) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => reject(new Interrupted(signal)))
})
// Between two scenes nobody listens.
interrupted.catch(() => {})

/** Resolves to what went wrong. */
async function run(
  scene: Scene,
  options: Options,
  folder: string,
  figures: Map<string, Figure>,
): Promise<readonly unknown[]> {
  const teardown = new Teardown()
  const troubles: string[] = []
  const profile = options.profile === undefined ? undefined : join(options.profile, scene.name)
  const bench: Bench = {
    ...options,
    folder: join(folder, scene.name),
    teardown,
    troubles,
    profile,
    wants: (name) => wanted(options, scene, name),
    value: (name) => figures.get(name)?.value,
    report(name, measured) {
      // It came along with another.
      if (!wanted(options, scene, name)) return
      const { unit } = scene.figures[name]!
      figures.set(name, { ...measured, unit })
      console.error(`${name}  ${digits(measured.value)} ${unit}`)
    },
    used: (what) => console.log(`${what}\n`),
    absent: (names, reason) => console.error(`${names.join(', ')}: not measured, ${reason}`),
  }
  await mkdir(bench.folder)
  const failures: unknown[] = []
  await Promise.race([profiled(profile, () => scene.run(bench)), interrupted]).catch((error: unknown) =>
    failures.push(error),
  )
  if (!(await teardown.run())) failures.push(new Error('not everything ended well'))
  // What has failed may still be starting something in it.
  if (failures.length === 0) rmSync(bench.folder, { recursive: true })
  return [...failures, ...troubles]
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2), scenes)
  if (options.list === true) {
    for (const { figures } of scenes) {
      for (const [name, { unit, what }] of Object.entries(figures))
        console.log(`${name.padEnd(24)} ${unit.padEnd(5)} ${what}`)
    }
    return
  }
  const server = await newestServer()
  process.env['NATS_SERVER_BIN'] = server.path
  const folder = mkdtempSync(join(options.data, 'holdfast-bench-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  console.log(`${await describeMachine(server.version, folder)}\n`)
  const figures = new Map<string, Figure>()
  for (const scene of scenes) {
    const names = Object.keys(scene.figures)
    if (!names.some((name) => wanted(options, scene, name))) continue
    console.error(`${scene.name} begins`)
    const failures = await run(scene, options, folder, figures)
    const interruption = failures.find((failure) => failure instanceof Interrupted)
    if (interruption !== undefined) throw interruption
    if (failures.length === 0) continue
    for (const name of names) figures.delete(name)
    console.error(`${scene.name} failed:`, ...failures)
    process.exitCode = 1
  }
  console.log(table(figures))
  if (options.json === true) console.log(JSON.stringify(toJson(figures)))
}

try {
  await main()
  // What has failed may still wait for something that does not come any more.
  if (process.exitCode === 1) process.exit()
} catch (error) {
  if (!(error instanceof Interrupted)) throw error
  console.error(`interrupted by ${error.message}`)
  process.exit(130)
}
