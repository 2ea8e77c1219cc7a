/** Reads the project's pages as its tests need them: fenced blocks with the comment before them, links, and paths in backticks. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../../', import.meta.url))

export interface Page {
  /** From the root of the project. */
  readonly path: string
  readonly text: string
}

export interface Block {
  readonly language: string
  readonly text: string
  /** Of the HTML comment right before the block; empty where there is none. */
  readonly comment: string
}

/** Those at the top, and everything under docs/ and examples/. */
export function pages(): readonly Page[] {
  const under = ['docs', 'examples'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`),
  )
  return [...readdirSync(root), ...under].filter((path) => path.endsWith('.md')).map(page)
}

export const page = (path: string): Page => ({ path, text: readFileSync(join(root, path), 'utf8') })

export function blocksOf({ text }: Page): readonly Block[] {
  const fenced = /(?:^<!-- (.*) -->\n\n)?^```(\w*)\n([\s\S]*?)^```$/gm
  return Array.from(text.matchAll(fenced), ([, comment = '', language = '', body = '']) => ({
    comment,
    language,
    text: body,
  }))
}

/** What a page points to in the project, from its root. */
export function pathsIn({ path, text }: Page): readonly string[] {
  const prose = text.replace(/^```[\s\S]*?^```$/gm, '')
  const links = Array.from(prose.matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g), ([, target]) =>
    relative('.', join(dirname(path), target!)),
  )
  const quoted = Array.from(
    prose.matchAll(/`((?:src|actors|test|examples|deploy|docs)\/[\w./-]+)`/g),
    ([, target]) => target!,
  )
  return [...links, ...quoted]
}
