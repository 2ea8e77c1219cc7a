import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { blocksOf, page, root } from '../docs/markdown.ts'
import { copiedFrom, stagesOf, textsOf, wordsIn } from './dockerfile.ts'
import { accepted, ignored } from './said.ts'

const read = (path: string) => readFileSync(join(root, path), 'utf8')
const manifest = JSON.parse(read('package.json')) as { version: string; bin: { holdfast: string } }
const text = read('deploy/Dockerfile')
const stages = stagesOf(text)
const image = stages.at(-1)!
const variables = Object.fromEntries(
  textsOf(image, 'ENV').flatMap((line) => line.split(' ').map((pair) => pair.split('=') as [string, string])),
)

describe('deploy/Dockerfile', () => {
  it('copies what is there, and what .dockerignore lets through, which is nothing else', () => {
    const copied = new Set(copiedFrom(stages))
    expect(copied.size).toBeGreaterThan(5)
    expect([...copied].filter((path) => !existsSync(join(root, path)))).toEqual([])
    const rules = read('.dockerignore')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
    expect(rules).toContain('*')
    const admitted = rules.filter((rule) => rule !== '*').map((rule) => rule.slice(1))
    expect(admitted.toSorted()).toEqual([...copied].toSorted())
  })

  it('holds what the build needs', () => {
    const { include } = JSON.parse(read('tsconfig.build.json')) as { include: string[] }
    expect(copiedFrom(stages)).toEqual(expect.arrayContaining([...include, 'package.json', 'package-lock.json']))
  })

  it('runs no script of a dependency', () => {
    const installs = stages.flatMap((stage) => textsOf(stage, 'RUN')).filter((line) => /npm (ci|prune)/.test(line))
    expect(installs.length).toBeGreaterThan(1)
    for (const line of installs) expect(line).toContain('--ignore-scripts')
  })

  it('runs as a user by number who is not root, and who owns the folder of the data', () => {
    const users = textsOf(image, 'USER')
    expect(users).toHaveLength(1)
    expect(users[0]).toMatch(/^[1-9]\d*:[1-9]\d*$/)
    expect(textsOf(image, 'VOLUME')).toEqual([variables['HOLDFAST_DATA_DIR']])
    expect(textsOf(image, 'RUN').join()).toContain(`chown ${users[0]} ${variables['HOLDFAST_DATA_DIR']}`)
    // Everything that is installed belongs to root.
    const names = image.instructions.map(({ name }) => name)
    expect(names.lastIndexOf('COPY')).toBeLessThan(names.indexOf('USER'))
    expect(names.lastIndexOf('RUN')).toBeLessThan(names.indexOf('USER'))
  })

  it('starts the program of the package, with a command line that it takes', async () => {
    const link = /ln -s \/app\/node_modules\/holdfast\/(\S+) \/usr\/local\/bin\/holdfast/.exec(
      textsOf(image, 'RUN').join(),
    )
    expect(link?.[1]).toBe(manifest.bin.holdfast)
    expect(wordsIn(textsOf(image, 'ENTRYPOINT')[0])).toEqual(['holdfast'])
    const { command, options } = await accepted(wordsIn(textsOf(image, 'CMD')[0]))
    expect(command).toBe('node')
    expect(options).toEqual({ actors: ['/app/actors'], port: 4222 })
    expect(textsOf(image, 'STOPSIGNAL')).toEqual(['SIGTERM'])
  })

  it('sets variables that nodes know, and one port for probes, metrics and the health check', () => {
    expect(ignored(variables)).toEqual([])
    const port = variables['HOLDFAST_HTTP']?.split(':')[1]
    expect(textsOf(image, 'EXPOSE')).toEqual([port])
    expect(textsOf(image, 'HEALTHCHECK')[0]).toContain(`http://127.0.0.1:${port}/healthz`)
  })

  it('is tagged with the version of the package, wherever it is named', () => {
    const named = [text, read('deploy/compose.yaml'), read('docs/operations.md')]
      .join('\n')
      .matchAll(/\bholdfast:(\d\S*)/g)
    const tags = new Set(Array.from(named, ([, tag]) => tag))
    expect([...tags]).toEqual([manifest.version])
  })
})

describe("the Dockerfile of a user's own in docs/operations.md", () => {
  const [block] = blocksOf(page('docs/operations.md')).filter(({ language }) => language === 'dockerfile')
  const own = stagesOf(block?.text ?? '')

  it('ends as the one in deploy/ does', () => {
    const last = own.at(-1)!
    for (const name of ['USER', 'VOLUME', 'EXPOSE', 'STOPSIGNAL', 'HEALTHCHECK']) {
      expect(textsOf(last, name), name).toEqual(textsOf(image, name))
    }
    expect(textsOf(last, 'ENV')).toEqual(textsOf(image, 'ENV'))
  })

  it('starts the program with a command line that it takes', async () => {
    const last = own.at(-1)!
    const entry = wordsIn(textsOf(last, 'ENTRYPOINT')[0])
    expect(entry).toEqual(['/app/node_modules/.bin/holdfast'])
    const { command, options } = await accepted(wordsIn(textsOf(last, 'CMD')[0]))
    expect(command).toBe('node')
    expect(options['actors']).toEqual(['/app/dist/actors'])
  })
})
