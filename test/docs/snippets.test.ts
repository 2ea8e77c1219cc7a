/** What the pages show is what runs: their pieces of code are those of the examples, and what they show as printed is what those print. */
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { runChild, type Child } from '../support/child.ts'
import { blocksOf, pages, root } from './markdown.ts'

const timeout = 60_000
const blocks = pages().flatMap((page) => blocksOf(page).map((block) => ({ ...block, page: page.path })))

let child: Child | undefined
let dataDir = ''
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'holdfast-snippets-'))
})
afterEach(async () => {
  await child?.kill()
  await rm(dataDir, { recursive: true, force: true })
})

/** Indentation is that of the place. */
const lines = (text: string) => text.split('\n').map((line) => line.trim())
const joined = (text: string) => `\n${lines(text).filter(Boolean).join('\n')}\n`

describe('the code in the pages', () => {
  const code = blocks.filter(({ language }) => language === 'ts' || language === 'typescript')

  it('is there, and says which of the examples it is from', () => {
    expect(code.length).toBeGreaterThan(10)
    const nowhere = code.filter(({ comment }) => !/^examples\/[\w/-]+\.ts$/.test(comment))
    expect(nowhere.map(({ page, text }) => `${page}: ${text.slice(0, 60)}`)).toEqual([])
  })

  it.each(code)('in $page is a piece of $comment (block %#)', ({ comment, text }) => {
    const source = readFileSync(join(root, comment), 'utf8')
    expect(joined(source.replaceAll(/'(?:\.\.\/)+src\/index\.ts'/g, "'holdfast'"))).toContain(joined(text))
  })
})

describe('what the pages show as printed', () => {
  const printed = new Map<string, string>()
  for (const { page, comment, text } of blocks) {
    const path = /^printed by (\S+)$/.exec(comment)?.[1]
    if (path === undefined) continue
    const key = `${path} in ${page}`
    printed.set(key, (printed.get(key) ?? '') + text)
  }

  it.each([...printed.keys()])('is what is printed by %s, and nothing else', { timeout }, async (key) => {
    const path = key.split(' in ')[0]!
    // It does not outlive this process.
    const orphaned = `process.stdin.on('end', () => process.kill(process.pid, 'SIGKILL')).resume().unref()\n`
    child = runChild(`${orphaned}await import(${JSON.stringify(new URL(`../../${path}`, import.meta.url).href)})`, {
      typescript: true,
      env: { DATA_DIR: dataDir },
    })
    expect(await child.exited, child.complaints.join('\n')).toEqual({ code: 0, signal: null })
    expect(`${child.lines.join('\n')}\n`).toBe(printed.get(key))
    expect(child.complaints).toEqual([])
  })
})
