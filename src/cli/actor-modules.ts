/**
 * Actor types and tasks from files: every module of the folders and files that were named, every export that is what `actor()` or `task()`
 * returned.
 *
 * A1. What cannot be loaded is named, with the reason, in one sentence: a file that does not parse, an import that is not there, a module
 *     that throws.
 * A2. Modules in TypeScript are loaded by tsx, which the project has; where Node.js itself strips types, that does without it.
 * A3. The same type, or the same name of a task, in two modules is refused with both files' names; the same definition exported again is
 *     one.
 */
import { readdir, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { extname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { ActorDefinition } from '../behaviour/definition.ts'
import type { TaskDefinition } from '../behaviour/task.ts'
import { HoldfastError, messageOf } from '../protocol/errors.ts'

const javaScript = ['.js', '.mjs', '.cjs']
const typeScript = ['.ts', '.mts', '.cts']

export interface Hosted {
  readonly actors: readonly ActorDefinition[]
  readonly tasks: readonly TaskDefinition[]
}

/** Throws `INVALID`. */
export async function loadActors(paths: readonly string[]): Promise<Hosted> {
  const files = [...new Set((await Promise.all(paths.map(modulesOf))).flat())]
  if (files.some((file) => typeScript.includes(extname(file)))) await enableTypeScript(files[0]!)
  const found = new Map<string, { readonly definition: Definition; readonly file: string }>()
  for (const file of files) {
    for (const definition of await definitionsIn(file)) {
      const what = isTask(definition) ? `task "${definition.name}"` : `actor type "${definition.type}"`
      const other = found.get(what)
      if (other !== undefined && other.definition !== definition) {
        throw invalid(`the ${what} is defined twice, in ${other.file} and ${file}: rename one`)
      }
      found.set(what, { definition, file })
    }
  }
  if (found.size === 0) {
    throw invalid(
      `no actor type or task is exported by ${paths.join(', ')}: write "export const Cart = actor('cart', …)" in a module there`,
    )
  }
  const definitions = [...found.values()].map(({ definition }) => definition)
  return { actors: definitions.filter((each) => !isTask(each)), tasks: definitions.filter(isTask) }
}

/** Modules of a folder, and of those in it; declarations and tests are none. */
async function modulesOf(path: string): Promise<readonly string[]> {
  const given = resolve(path)
  const found = await stat(given).catch((cause: unknown) => {
    throw invalid(`${path} is not there: give the folder, or the file, of your actors`, cause)
  })
  if (found.isFile()) return [given]
  const names = await readdir(given, { recursive: true })
  const modules = names
    .filter((name) => [...javaScript, ...typeScript].includes(extname(name)))
    .filter((name) => !/\.d\.[cm]?ts$|\.(?:test|spec)\.[a-z]+$|(?:^|[/\\])(?:node_modules|\.[^/\\]+)[/\\]/.test(name))
    .toSorted()
  if (modules.length === 0) throw invalid(`there is no module in ${path}: put your actors there, as .ts or .js`)
  return modules.map((name) => join(given, name))
}

/** A1 */
async function definitionsIn(file: string): Promise<readonly Definition[]> {
  let module: Record<string, unknown>
  try {
    module = (await import(pathToFileURL(file).href)) as Record<string, unknown>
  } catch (cause) {
    throw invalid(`${file} cannot be loaded: ${reasonOf(cause)}`, cause)
  }
  const exports: readonly unknown[] = [...Object.values(module), ...valuesOf(module['default'])]
  return [...new Set(exports)].filter(isDefinition)
}

/** A CommonJS module has its exports there. */
const valuesOf = (value: unknown): readonly unknown[] =>
  typeof value === 'object' && value !== null ? (Object.values(value) as readonly unknown[]) : []

type Definition = ActorDefinition | TaskDefinition

const isTask = (definition: Definition): definition is TaskDefinition => definition.kind === 'task'

function isDefinition(value: unknown): value is Definition {
  if (typeof value !== 'object' || value === null || !('kind' in value)) return false
  if (value.kind === 'actor') return 'type' in value && typeof value.type === 'string' && 'commands' in value
  return value.kind === 'task' && 'name' in value && typeof value.name === 'string' && 'input' in value
}

/** Errors of the transformer have their place in a second line. */
function reasonOf(thrown: unknown): string {
  const lines = messageOf(thrown)
    .split('\n')
    .filter((line) => line.trim() !== '')
  return lines.slice(0, 2).join(' ')
}

/** A second registration would load every module twice. */
let enabled = false

/** A2 */
async function enableTypeScript(near: string): Promise<void> {
  if (enabled || isUnderTsx()) return
  // As "node --import tsx" does it.
  const loader = locate('tsx', [near, join(process.cwd(), 'package.json'), import.meta.url])
  if (loader !== undefined) {
    await import(pathToFileURL(loader).href)
    enabled = true
  } else if (!(process.features as { typescript?: unknown }).typescript) {
    throw invalid(
      'modules in TypeScript need tsx: add it with "npm install --save-dev tsx", or compile them and give the folder of the outcome',
    )
  }
}

const isUnderTsx = () => process.execArgv.some((argument) => /[/\\]tsx[/\\]/.test(argument))

function locate(name: string, from: readonly string[]): string | undefined {
  for (const place of from) {
    try {
      return createRequire(place).resolve(name)
    } catch {
      // Not from there.
    }
  }
  return undefined
}

const invalid = (message: string, cause?: unknown) => new HoldfastError('INVALID', message, { cause })
