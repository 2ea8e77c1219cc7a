import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { realDisk } from '../../src/adapters/embedded/objects.ts'
import { nodeIdFor } from '../../src/node/node-id.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'

const random = new SeededRandom('node ids')
let folder: string
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'holdfast-node-id-'))))
afterEach(() => rm(folder, { recursive: true, force: true }))

it('is made up once, and is what was given where something was', async () => {
  const dataDir = join(folder, 'new')
  const id = await nodeIdFor(undefined, dataDir, random)
  expect(id).toMatch(/^node-/)
  expect(await readFile(join(dataDir, 'node-id'), 'utf8')).toBe(`${id}\n`)
  expect(await nodeIdFor(undefined, dataDir, random)).toBe(id)
  expect(await nodeIdFor('a', dataDir, random)).toBe('a')
})

it('is on the disk before it has its name, and its name is before anybody hears of it', async () => {
  const steps: unknown[] = []
  for (const name of ['writeSynced', 'rename', 'syncFolder'] as const) {
    const run = realDisk[name] as (...args: unknown[]) => Promise<void>
    vi.spyOn(realDisk, name).mockImplementation(async (...args: unknown[]) => {
      await run(...args)
      steps.push([name, args[0]])
    })
  }
  await nodeIdFor(undefined, folder, random)
  const scratch = join(folder, 'node-id.new')
  expect(steps).toEqual([
    ['writeSynced', scratch],
    ['rename', scratch],
    ['syncFolder', folder],
  ])
})
