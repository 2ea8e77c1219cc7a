/** The demonstration as its user runs it: both modes, what it says, what it leaves behind, and what it is told to stop. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))
const withinMs = 120_000

let folder: string
let demo: ChildProcess | undefined

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-demo-test-'))
})

afterEach(async () => {
  if (demo?.exitCode === null && demo.signalCode === null) {
    demo.kill('SIGTERM')
    await once(demo, 'exit')
  }
  demo = undefined
  rmSync(folder, { recursive: true, force: true })
})

interface Run {
  readonly process: ChildProcess
  /** All that it has said so far. */
  said(): string
  /** Resolves once it has said this. */
  says(text: string): Promise<void>
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
}

/** In a folder for temporary files of its own, which is also how its processes are known. */
function startDemo(...args: readonly string[]): Run {
  const process = spawn(globalThis.process.execPath, ['--import', 'tsx', 'examples/flights/demo.ts', ...args], {
    cwd: root,
    env: { ...globalThis.process.env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  demo = process
  let said = ''
  const listeners = new Set<() => void>()
  for (const stream of [process.stdout, process.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text
      for (const listener of listeners) listener()
    })
  }
  return {
    process,
    said: () => said,
    says: (text) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (said.includes(text)) resolve()
        }
        listeners.add(look)
        process.once('close', () => reject(new Error(`it ended without saying "${text}":\n${said}`)))
        look()
      }),
    exited: once(process, 'close').then(([code, signal]: (number | NodeJS.Signals | null)[]) => ({
      code: code as number | null,
      signal: signal as NodeJS.Signals | null,
    })),
  }
}

/** Processes with this test's folder in their environment or arguments. */
function processesLeft(): readonly string[] {
  const all = execFileSync('ps', ['axeww', '-o', 'pid=,command='], { encoding: 'utf8', maxBuffer: 64 * 1_048_576 })
  return all.split('\n').filter((line) => line.includes(folder))
}

/** What lies in the folder for temporary files, but for the cache of tsx, which is not the demonstration's. */
const filesLeft = (): readonly string[] => readdirSync(folder).filter((name) => !name.startsWith('tsx-'))

const expectNothingLeft = () => {
  expect(processesLeft()).toEqual([])
  expect(filesLeft()).toEqual([])
}

describe.each([
  ['embedded', []],
  ['on NATS', ['--nats']],
])('the demonstration, %s', (_mode, mode) => {
  it(
    'loses a node, gains one, finds every number right, and leaves nothing behind',
    async () => {
      const run = startDemo(...mode, '--flights', '2000', '--rate', 'max')
      expect(await run.exited, run.said()).toEqual({ code: 0, signal: null })
      expect(run.said()).toContain('one third is flown: node-2 crashes')
      expect(run.said()).toContain('two thirds are flown: node-4 joins')
      expect(run.said()).toContain('the watcher   took 6,000 changes')
      expect(run.said()).toMatch(
        /\nOK: count, sum and rev of all 1,425 actors are those of the file, and each of 6,000 revs was seen once, in order\n$/,
      )
      expectNothingLeft()
    },
    withinMs,
  )

  it(
    'ends in order when it is interrupted, and leaves nothing behind',
    async () => {
      const run = startDemo(...mode, '--rate', '200')
      await run.says(' acks · ')
      expect(processesLeft()).not.toEqual([])
      expect(filesLeft()).toEqual([expect.stringMatching(/^holdfast-flights-/)])
      run.process.kill('SIGINT')
      expect(await run.exited, run.said()).toEqual({ code: 130, signal: null })
      expect(run.said()).not.toMatch(/clean up|Error/)
      expectNothingLeft()
    },
    withinMs,
  )
})

describe('the demonstration', () => {
  it('refuses what it does not understand, with its usage', async () => {
    const run = startDemo('--rate', 'fast')
    expect(await run.exited).toEqual({ code: 2, signal: null })
    expect(run.said()).toContain('--rate is a number above 0 or "max", not "fast"')
    expect(run.said()).toContain('Usage: npm run demo')
    expectNothingLeft()
  })
})
