/** Arguments that can never be: exit code 2, and a sentence that says what is asked for. */
import { describe, expect, it } from 'vitest'
import { runHere } from './program-only.ts'

describe('a port', () => {
  it.each(['70000', '65536', '-1', '1.5', 'any', ''])('cannot be %j', async (port) => {
    for (const words of [
      ['node', '--actors', 'nowhere', '--embedded'],
      ['dev', 'nowhere'],
    ]) {
      const { code, stdout, stderr } = await runHere([...words, `--port=${port}`])
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
      expect(stderr).toMatch(/--port.*it is a port, 0 to 65535/)
    }
  })
})
