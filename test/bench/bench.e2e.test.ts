/** The bench as its user runs it, compiled, with rounds so short that their figures mean nothing. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** What is compiled, in a folder of its own: `npm run bench` may be running. */
let compiled = ''
let data = ''

beforeAll(() => {
  mkdirSync(join(root, '.cache'), { recursive: true })
  compiled = mkdtempSync(join(root, '.cache/bench-test-'))
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  execFileSync(process.execPath, [tsc, '-p', 'tsconfig.bench.json', '--outDir', compiled], { cwd: root })
}, 60_000)

beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'holdfast-bench-test-'))
  return () => rmSync(data, { recursive: true })
})

afterAll(() => rmSync(compiled, { recursive: true }))

const withinMs = 60_000

interface Run {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** `onStderr` is called with all that it has said there so far. */
async function bench(args: readonly string[], onStderr = (_said: string, _end: () => void) => {}): Promise<Run> {
  const child = spawn(process.execPath, [join(compiled, 'bench/main.js'), '--data', data, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => void (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
    onStderr(stderr, () => child.kill('SIGINT'))
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout, stderr }
}

/** Servers, nodes and clients have its folder in their arguments or environment. */
function expectNothingLeft(): void {
  const all = execFileSync('ps', ['axeww', '-o', 'pid=,command='], { encoding: 'utf8', maxBuffer: 64 * 1_048_576 })
  expect(all.split('\n').filter((line) => line.includes(data))).toEqual([])
  expect(readdirSync(data)).toEqual([])
}

const short = ['--rounds', '1', '--seconds', '0.3', '--keys', '200']

describe('the bench', () => {
  it(
    'measures what was asked for, prints it as a table and as JSON, and leaves nothing behind',
    async () => {
      const { code, stdout, stderr } = await bench([...short, '--only', 'commands.w64', 'nats.append.p50', '--json'])
      expect(code, stderr).toBe(0)
      const lines = stdout.trimEnd().split('\n')
      const figures = JSON.parse(lines.at(-1)!) as Record<string, { readonly value: number; readonly unit: string }>
      expect(figures).toEqual({
        'nats.append.p50': { value: expect.any(Number), unit: 'ms' },
        'commands.w64': { value: expect.any(Number), unit: '/s' },
      })
      for (const { value } of Object.values(figures)) expect(value).toBeGreaterThan(0)
      expect(lines.filter((line) => line.startsWith('| '))).toEqual([
        expect.stringContaining('| figure '),
        expect.stringContaining('| --'),
        expect.stringContaining('| nats.append.p50 |'),
        expect.stringContaining('| commands.w64    |'),
      ])
      expectNothingLeft()
    },
    withinMs,
  )

  it(
    'leaves nothing behind when it is interrupted',
    async () => {
      const args = ['--only', 'commands.w64', '--rounds', '1', '--keys', '10']
      // Its servers and nodes start then, and a round would take ten minutes.
      const { code, stdout, stderr } = await bench([...args, '--seconds', '600'], (said, end) => {
        if (said.includes(' begins')) end()
      })
      expect({ code, figures: stdout.includes('|') }, stderr).toEqual({ code: 130, figures: false })
      expectNothingLeft()
    },
    withinMs,
  )

  it('refuses a name that no figure has, and says which there are', async () => {
    const { code, stderr } = await bench(['--only', 'commands.w63'])
    expect(code).toBe(1)
    expect(stderr).toContain('there is no figure "commands.w63"')
    for (const name of ['commands.w64', 'nats.kv.put.w256', 'rss.1m']) expect(stderr).toContain(name)
  })

  it.each([
    ['--seconds', '-1'],
    ['--widths', '4'],
  ])('refuses %s %s', async (option, value) => {
    const { code, stderr } = await bench([option, value])
    expect(code).toBe(1)
    expect(stderr).toContain(option)
  })

  it('says what each figure is, and measures nothing', async () => {
    const { code, stdout } = await bench(['--list'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^commands\.w1024 +\/s +1,024 in flight$/m)
  })
})
