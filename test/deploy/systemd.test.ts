import { execFile, spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { exitCodes } from '../../src/cli/exit-codes.ts'
import { isNodeId } from '../../src/protocol/ids.ts'
import { root } from '../docs/markdown.ts'
import { accepted, ignored, wordsOf } from './said.ts'

const run = promisify(execFile)
const folder = join(root, 'deploy/systemd')
const read = (name: string) => readFile(join(folder, name), 'utf8')
const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0

/** The values of a setting, in their order. */
const valuesOf = (unit: string, name: string) =>
  Array.from(unit.matchAll(new RegExp(`^${name}=(.*)$`, 'gm')), ([, value]) => value!)

/** Assignments of the environment file, also those that are offered. */
const assignments = (text: string) =>
  Object.fromEntries(Array.from(text.matchAll(/^#?([A-Z_]+)=(.*)$/gm), ([, name, value]) => [name!, value!]))

describe('deploy/systemd/holdfast-node@.service', () => {
  it('starts a node by the program of the package, with a command line that it takes', async () => {
    const unit = await read('holdfast-node@.service')
    const [node, program, ...words] = wordsOf(valuesOf(unit, 'ExecStart')[0]!)
    const { bin } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { bin: { holdfast: string } }
    expect(node).toBe('/usr/bin/node')
    expect(program).toBe(`/opt/holdfast/node_modules/holdfast/${bin.holdfast}`)
    expect((await accepted(words)).command).toBe('node')
  })

  it('sets variables that nodes know, and an id that is one', async () => {
    const unit = await read('holdfast-node@.service')
    const set = Object.fromEntries(valuesOf(unit, 'Environment').map((pair) => pair.split('=') as [string, string]))
    expect(ignored({ ...set, ...assignments(await read('holdfast-node.env')) })).toEqual([])
    const { HOLDFAST_NODE_ID: id = '', HOLDFAST_DATA_DIR: data = '' } = set
    expect(isNodeId(id.replace('%l', 'web-7').replace('%i', 'a'))).toBe(true)
    expect(data).toBe(`%S/${valuesOf(unit, 'StateDirectory')[0]}`)
  })

  it('is not started again where that would be in vain', async () => {
    const [given = ''] = valuesOf(await read('holdfast-node@.service'), 'RestartPreventExitStatus')
    expect(given.split(' ').map(Number)).toEqual([exitCodes.usage, exitCodes.conflict])
  })

  it('holds no secret', async () => {
    const { HOLDFAST_PASSWORD } = assignments(await read('holdfast-node.env'))
    expect(HOLDFAST_PASSWORD).toBe('')
  })
})

describe.skipIf(!hasSystemd)('the units, judged by systemd-analyze', () => {
  let home: string
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'holdfast-units-'))
  })
  afterEach(() => rm(home, { recursive: true, force: true }))

  /** Programs that are not on this machine give way to one that is. */
  async function copied(name: string, as = name): Promise<string> {
    const text = (await read(name)).replace(/^ExecStart=\S+/m, 'ExecStart=/bin/true')
    await mkdir(home, { recursive: true })
    await writeFile(join(home, as), text)
    return join(home, as)
  }

  it.each([
    ['holdfast-node@.service', 'holdfast-node@a.service'],
    ['nats-server.service', 'nats-server.service'],
  ])('%s is understood, every line', async (name, as) => {
    const { stderr } = await run('systemd-analyze', ['verify', '--man=no', await copied(name, as)])
    expect(stderr.split('\n').filter((line) => line.includes(basename(as)))).toEqual([])
  })

  it.each([
    ['holdfast-node@.service', 'holdfast-node@a.service'],
    ['nats-server.service', 'nats-server.service'],
  ])('%s is exposed to no more than it needs', async (name, as) => {
    // The threshold is in tenths; services without any hardening are at 9.6.
    const words = ['security', '--offline=true', '--threshold=20', await copied(name, as)]
    await expect(run('systemd-analyze', words)).resolves.toBeTruthy()
  })
})
