/**
 * What a page shows of the program: lines that begin with `$ holdfast` in its blocks of a console, each with what it prints.
 *
 * `…` in a line is any text, a line of `…` any number of lines.
 */
import { expect } from 'vitest'
import { blocksOf, type Page } from '../docs/markdown.ts'
import type { Said } from './program.ts'

export interface ShownLine {
  readonly args: readonly string[]
  readonly prints: string
}

export const shownLines = (page: Page): readonly ShownLine[] =>
  blocksOf(page)
    .filter(({ language }) => language === 'console')
    .flatMap((block) => block.text.split(/^\$ holdfast /m).slice(1))
    .map((part) => {
      const [command = '', ...prints] = part.trimEnd().split('\n')
      const words = Array.from(command.matchAll(/'([^']*)'|(\S+)/g), ([, quoted, plain]) => quoted ?? plain ?? '')
      return { args: words, prints: prints.join('\n') }
    })

/** They change nothing, and tell what one node has heard of the others by now. */
const reports = new Set(['status', 'members', 'partitions', 'placement', 'doctor'])

/** Runs the line and expects what the page shows of it, of a report sooner or later. Resolves with what the last run said. */
export async function expectShown(
  { args, prints }: ShownLine,
  run: (args: readonly string[]) => Promise<Said>,
): Promise<Said> {
  let said = await run(args)
  const pattern = patternOf(prints)
  if (reports.has(args[0]!)) {
    const until = performance.now() + 30_000
    while (!pattern.test(asShown(args, said)) && performance.now() < until) said = await run(args)
  }
  expect(asShown(args, said), `holdfast ${args.join(' ')}`).toMatch(pattern)
  return said
}

/** As a terminal shows them: notes come first but for those of `log`. */
const asShown = (args: readonly string[], { stdout, stderr }: Said) =>
  args[0] === 'log' ? stdout + stderr : stderr + stdout

/** What the page shows, as a pattern. */
export function patternOf(shown: string): RegExp {
  const escaped = shown.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
  const lenient = escaped.replaceAll(/(?<=^|\n)…(?:\n|$)/g, '(?:.*\\n)*?').replaceAll('…', '.*?')
  return new RegExp(`^${lenient}\\n*$`)
}
