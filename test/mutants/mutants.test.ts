import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { checkPatches, mutants, root } from './mutant.ts'

/** `npm run mutants` finds them; here is only that there still is something to be found. */
it('every deliberate bug still applies to the source, and the page of all of them names it', () => {
  const all = mutants()
  expect(all.length).toBeGreaterThanOrEqual(20)
  checkPatches(all)
  const page = readFileSync(join(root, 'docs', 'mutants.md'), 'utf8')
  for (const { name, rule } of all) expect(page).toMatch(new RegExp(`^\\| ${name} +\\| ${rule} +\\|`, 'm'))
})
