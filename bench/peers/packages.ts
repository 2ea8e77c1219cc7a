/**
 * The packages that peers are made of: those of package.json here, which no package.json of Holdfast's names.
 *
 * K1. They are installed when a peer is first started, as the lockfile says, and no script of theirs runs.
 * K2. Nothing here is needed to type-check or to lint: who uses a package states the part of its types that it uses.
 */
import { execFile } from 'node:child_process'
import { statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { root } from '../../examples/support/child.ts'
import { PeerAbsent } from './peer.ts'

/** Where they are, also for what was compiled into another folder. */
export const peersFolder = join(root, 'bench/peers')

const require = createRequire(join(peersFolder, 'package.json'))
let installation: Promise<void> | undefined

/** Resolves when they are there; rejects with `PeerAbsent` if they cannot be had. */
export function installPackages(): Promise<void> {
  installation ??= isInstalled() ? Promise.resolve() : install()
  return installation
}

/** npm writes the hidden lockfile last. */
function isInstalled(): boolean {
  const writtenMs = (file: string) => statSync(join(peersFolder, file), { throwIfNoEntry: false })?.mtimeMs ?? 0
  return writtenMs('node_modules/.package-lock.json') >= writtenMs('package-lock.json')
}

async function install(): Promise<void> {
  console.log('The packages of the peers are not there: installing them in bench/peers (about 430 MB on disk).')
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund']
  await promisify(execFile)('npm', args, { cwd: peersFolder }).catch((error: Error) => {
    throw new PeerAbsent(`its packages could not be installed: ${error.message}`, { cause: error })
  })
}

/** Imports one of them. `M` is what is used of it. */
export async function importPackage<M>(name: string): Promise<M> {
  return (await import(pathToFileURL(require.resolve(name)).href)) as M
}

/** The path of a file in one of them; it need not exist. */
export const fileOf = (name: string, file: string): string => join(peersFolder, 'node_modules', name, file)

export async function versionOf(name: string): Promise<string> {
  const { version } = JSON.parse(await readFile(fileOf(name, 'package.json'), 'utf8')) as { version: string }
  return version
}
