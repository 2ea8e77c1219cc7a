/** The example of a stream task as its user runs it: three processes, a kill, a comparison; and what is wrong with its command line. */
import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { differences, lastOf } from '../../examples/sample-task/check.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const withinMs = 120_000

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-sample-test-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

interface Ran {
  readonly code: number
  readonly said: string
}

/** In a folder for temporary files of its own, which is also how its processes are known. */
function runExample(...args: readonly string[]): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--import', 'tsx', 'examples/sample-task/main.ts', ...args],
      { cwd: root, env: { ...process.env, TMPDIR: folder } },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code), said: stdout + stderr }),
    )
  })
}

/** Processes with this test's folder in their environment or arguments. */
function processesLeft(): readonly string[] {
  const all = execFileSync('ps', ['axeww', '-o', 'pid=,command='], { encoding: 'utf8', maxBuffer: 64 * 1_048_576 })
  return all.split('\n').filter((line) => line.includes(folder))
}

describe('the example of a stream task', () => {
  it(
    'loses a node, has every message out once and in order, and leaves nothing behind',
    async () => {
      const { code, said } = await runExample('--messages', '600')
      expect(said).toContain(' outputs have come: node-2 is killed')
      expect(said.trimEnd().split('\n').at(-1)).toBe(
        'OK: 600 messages in, 600 out, each once and in the order of its key, over the kill of node-2; the store has the last of each of 50 keys',
      )
      expect(code).toBe(0)
      expect(processesLeft()).toEqual([])
      expect(readdirSync(folder).filter((name) => !name.startsWith('tsx-'))).toEqual([])
    },
    withinMs,
  )

  it('refuses what it does not understand', async () => {
    const { code, said } = await runExample('--messages', 'many')
    expect(code).toBe(2)
    expect(said).toContain('--messages is a whole number from 50 to 1000000, not "many"')
    expect(said).toContain('Usage: ')
  })
})

describe('its comparison', () => {
  const items = [
    { key: 'a', value: 1 },
    { key: 'b', value: 2 },
    { key: 'a', value: 3 },
  ]
  const right = [
    { key: 'b', value: 2, rev: 1 },
    { key: 'a', value: 1, rev: 1 },
    { key: 'a', value: 3, rev: 2 },
  ]

  it('finds nothing where all is right, whatever the order of different keys', () => {
    expect(differences(items, right)).toEqual([])
    expect([...lastOf(items).values()]).toEqual([
      { key: 'a', value: 3, rev: 2 },
      { key: 'b', value: 2, rev: 1 },
    ])
  })

  it.each([
    ['missing', right.slice(0, 2), ['a: output 2 is missing, not value 3 of rev 2']],
    ['repeated', [...right, right[2]!], ['a: output 3 is value 3 of rev 2, not expected']],
    [
      'of an unknown key',
      [...right, { key: 'c', value: 1, rev: 1 }],
      ['c: output 1 is value 1 of rev 1, not expected'],
    ],
    [
      'counted twice',
      [right[0]!, right[1]!, { ...right[2]!, rev: 3 }],
      ['a: output 2 is value 3 of rev 3, not value 3 of rev 2'],
    ],
    [
      'out of order',
      [right[0]!, right[2]!, right[1]!],
      [expect.stringContaining('a: output 1'), expect.stringContaining('a: output 2')],
    ],
  ])('finds one that is %s', (_, emitted, found) => {
    expect(differences(items, emitted)).toEqual(found)
  })
})
