/** What an installation brings along: the lock file names every package by its hash, from one place, and nothing runs that is not known. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

interface Locked {
  readonly version?: string
  readonly resolved?: string
  readonly integrity?: string
  readonly hasInstallScript?: true
  readonly link?: true
  readonly dev?: true
}

const lock = JSON.parse(read('package-lock.json')) as { readonly packages: Readonly<Record<string, Locked>> }
const manifest = JSON.parse(read('package.json')) as {
  readonly dependencies: Readonly<Record<string, string>>
  readonly optionalDependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
  readonly allowScripts: Readonly<Record<string, boolean>>
}
const packages = Object.entries(lock.packages).filter(([path]) => path !== '')
const nameOf = (path: string) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)

describe('the lock file', () => {
  it('has a SHA-512 for every package, and none that is a link to somewhere', () => {
    expect(packages.length).toBeGreaterThan(50)
    const loose = packages.filter(
      ([, { integrity = '', link }]) => link || !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity),
    )
    expect(loose.map(([path]) => path)).toEqual([])
  })

  it('names no other host than the registry of npm, whichever that is where it is installed', () => {
    const foreign = packages.filter(([, { resolved }]) => resolved?.startsWith('https://registry.npmjs.org/') === false)
    expect(foreign.map(([path]) => path)).toEqual([])
  })

  it('lets no script run at installation that package.json does not decide about, and docs/security.md give a reason for', () => {
    const scripts = new Set(
      packages.flatMap(([path, { hasInstallScript }]) => (hasInstallScript ? [nameOf(path)] : [])),
    )
    const undecided = [...scripts].filter((name) => manifest.allowScripts[name] === undefined)
    expect(undecided).toEqual([])
    const page = read('docs/security.md')
    expect([...scripts].filter((name) => !page.includes(`| \`${name}\``))).toEqual([])
  })

  it('has the versions that package.json asks for, to the digit', () => {
    const wanted = { ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.devDependencies }
    const ranges = Object.entries(wanted).filter(([, version]) => !/^(npm:[\w-]+@)?\d+\.\d+\.\d+$/.test(version))
    expect(ranges).toEqual([])
  })
})
