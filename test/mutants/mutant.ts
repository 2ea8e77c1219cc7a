/**
 * Deliberate bugs: each a patch of the source beside this file, with a head that says which rule of the protocol it breaks, and how.
 *
 *     Rule: L3
 *     Breaks: records that do not link count as well
 *     Escapes: why the simulator does not find it, where it does not
 */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('.', import.meta.url))
export const root = fileURLToPath(new URL('../../', import.meta.url))

export interface Mutant {
  readonly name: string
  readonly patch: string
  readonly rule: string
  readonly breaks: string
  /** Why it is not found; `undefined`: it must be. */
  readonly escapes: string | undefined
}

/** By name. */
export const mutants = (): readonly Mutant[] =>
  readdirSync(folder)
    .filter((file) => file.endsWith('.patch'))
    .toSorted()
    .map((file) => {
      const patch = join(folder, file)
      const [head = ''] = readFileSync(patch, 'utf8').split('\n--- ', 1)
      const field = (name: string) => new RegExp(`^${name}: (.+)$`, 'm').exec(head)?.[1]
      const [rule, breaks] = [field('Rule'), field('Breaks')]
      if (rule === undefined || breaks === undefined)
        throw new Error(`${file} does not say which rule it breaks, and how`)
      return { name: file.slice(0, -'.patch'.length), patch, rule, breaks, escapes: field('Escapes') }
    })

/** Throws where one does not apply to the source as it is. */
export function checkPatches(patches: readonly Mutant[]): void {
  for (const { patch } of patches) execFileSync('git', ['apply', '--check', patch], { cwd: root, stdio: 'pipe' })
}

/** The source with the bug in it, outside of the package. */
export class MutatedTree {
  readonly #folder = mkdtempSync(join(tmpdir(), 'holdfast-mutant-'))

  constructor({ patch }: Mutant) {
    for (const part of ['src', 'actors', 'package.json', 'tsconfig.json']) {
      cpSync(join(root, part), join(this.#folder, part), { recursive: true })
    }
    symlinkSync(join(root, 'node_modules'), join(this.#folder, 'node_modules'))
    execFileSync('git', ['apply', patch], { cwd: this.#folder, stdio: 'pipe' })
  }

  /** The program of the simulator. */
  get simulator(): string {
    return join(this.#folder, 'src', 'testing', 'sim', 'main.ts')
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true })
  }
}
