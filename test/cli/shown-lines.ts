/**
 * What a page shows of the program: lines that begin with `$ holdfast` in its blocks of a console, each with what it prints.
 *
 * `…` in a line is any text, a line of `…` any number of lines.
 */
import { blocksOf, type Page } from '../docs/markdown.ts'

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

/** What the page shows, as a pattern. */
export function patternOf(shown: string): RegExp {
  const escaped = shown.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
  const lenient = escaped.replaceAll(/(?<=^|\n)…(?:\n|$)/g, '(?:.*\\n)*?').replaceAll('…', '.*?')
  return new RegExp(`^${lenient}\\n*$`)
}
