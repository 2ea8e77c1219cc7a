/**
 * The bench: what a cluster does, measured through the public client on servers and nodes that it starts itself.
 *
 *   npm run bench [-- --only <names> --json --rounds <n> --seconds <n> --keys <n>]
 *
 * B1. A rate counts operations whose answer came; after each round every key's rev is compared with the acknowledgements.
 * B2. Anything that went wrong anywhere, or did not end well, is a non-zero exit.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, cpus, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { Teardown } from '../examples/support/teardown.ts'
import type { Figure } from './figure.ts'
import type { Bench, Scene } from './scene.ts'
import { scenes } from './scenes/index.ts'
import { table } from './table.ts'

interface Options {
  readonly only: readonly string[]
  readonly json?: true
  readonly rounds: number
  readonly seconds: number
  readonly keys: number
}

function parseOptions(): Options {
  const whole = (text: string) => {
    const n = Number(text)
    if (!Number.isSafeInteger(n) || n < 1) throw new InvalidArgumentError('a whole number from 1')
    return n
  }
  const command = new Command('bench')
    .option('--only <names...>', 'these figures alone, or those whose names begin so', [])
    .option('--json', 'the last line is all figures as one JSON object')
    .option('--rounds <n>', 'rounds of which the median counts', whole, 3)
    .option('--seconds <n>', 'length of a round', whole, 4)
    .option('--keys <n>', 'keys that are written to', whole, 100_000)
  return command.parse().opts<Options>()
}

async function run(scene: Scene, options: Options, figures: Map<string, Figure>): Promise<void> {
  const teardown = new Teardown()
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-bench-'))
  const troubles: string[] = []
  const bench: Bench = {
    ...options,
    folder,
    teardown,
    troubles,
    wants: (name) => wanted(options, name),
    value: (name) => figures.get(name)?.value,
    report(name, figure) {
      figures.set(name, { ...figure, unit: scene.figures[name]!.unit })
      if (options.json === undefined) console.log(table(scenes, new Map([[name, figures.get(name)!]]), false))
    },
  }
  let clean: boolean
  try {
    await mkdir(folder, { recursive: true })
    await scene.run(bench)
  } finally {
    clean = await teardown.run()
    await rm(folder, { recursive: true, force: true })
  }
  if (troubles.length > 0) throw new Error(troubles.join('\n'))
  if (!clean) throw new Error('not everything ended well')
}

const wanted = ({ only }: Options, name: string): boolean =>
  only.length === 0 || only.some((prefix) => name === prefix || name.startsWith(`${prefix}.`))

async function main(): Promise<void> {
  const options = parseOptions()
  console.log(`${cpus()[0]!.model.trim()}, ${availableParallelism()} cores, ${process.platform} ${release()}`)
  console.log(`Node.js ${process.version}, ${new Date().toISOString().slice(0, 10)}`)
  const figures = new Map<string, Figure>()
  for (const scene of scenes) {
    if (Object.keys(scene.figures).some((name) => wanted(options, name))) await run(scene, options, figures)
  }
  console.log(table(scenes, figures, true))
  if (options.json === true) {
    const plain = [...figures].map(([name, { value, unit, ratio }]) => [
      name,
      { value: rounded(value), unit, ...(ratio === undefined ? {} : { ratio: rounded(ratio) }) },
    ])
    console.log(JSON.stringify(Object.fromEntries(plain)))
  }
}

/** To four digits. */
const rounded = (value: number) => Number(value.toPrecision(4))

await main()
