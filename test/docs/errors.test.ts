import { describe, expect, it } from 'vitest'
import { errorCodes, HoldfastError } from '../../src/protocol/errors.ts'
import { page } from './markdown.ts'

const { text } = page('docs/errors.md')
/** What a reader's browser takes for anchors: the headings, in lower case. */
const sections = text.split(/^## /m).slice(1)
const anchors = sections.map((section) => section.split('\n', 1)[0]!.toLowerCase())

describe('docs/errors.md', () => {
  it('has the anchor that each code points to, and no other', () => {
    expect(anchors).toEqual(errorCodes.map((code) => code.toLowerCase()))
    for (const code of errorCodes) {
      const [, path, anchor] = / \(holdfast\/(.*)#(.*)\)$/.exec(new HoldfastError(code, 'x').message)!
      expect(path).toBe('docs/errors.md')
      expect(anchors).toContain(anchor)
    }
  })

  it('says of each what happened, what is certain and what to do, with an example', () => {
    for (const section of sections) {
      for (const part of ['What happened', 'What is certain', 'What to do', 'Example'])
        expect(section, section.split('\n', 1)[0]).toContain(`**${part}.**`)
    }
  })
})
