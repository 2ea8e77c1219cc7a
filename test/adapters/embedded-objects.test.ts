/** What the objects of the embedded server withstand: a process that dies at any step, damage, disks that fail. */
import { appendFile, mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EmbeddedObjects, realDisk, type ObjectDisk } from '../../src/adapters/embedded/objects.ts'
import { bytes, pattern, same, text } from '../conformance/bytes.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-objects-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const open = (disk?: ObjectDisk) => new EmbeddedObjects({ folder, ...(disk === undefined ? {} : { disk }) }).connect()

type Step = keyof ObjectDisk

/** Tells each step, and does not do the one that is to fail; after it nothing is done any more, as in a process that has died. */
function diskThatEndsAt(end: Step | null, { dies }: { readonly dies: boolean }) {
  const steps: Step[] = []
  let ended = false
  const step =
    <A extends unknown[]>(name: Step, run: (...args: A) => Promise<void>) =>
    async (...args: A) => {
      steps.push(name)
      if (ended && dies) throw new Error('this process is dead')
      if (name === end && !ended) {
        ended = true
        throw new Error('EIO: i/o error')
      }
      await run(...args)
    }
  const disk: ObjectDisk = {
    writeSynced: step('writeSynced', realDisk.writeSynced),
    rename: step('rename', rename),
    remove: step('remove', realDisk.remove),
    syncFolder: step('syncFolder', realDisk.syncFolder),
  }
  return { disk, steps }
}

describe('a put of the embedded objects', () => {
  it('writes and syncs under another name, renames, and syncs the folder, in this order (O1–O4)', async () => {
    const { disk, steps } = diskThatEndsAt(null, { dies: false })
    await open(disk).put('one', bytes('content'))
    expect(steps).toEqual(['writeSynced', 'rename', 'syncFolder'])
    expect(await readdir(folder)).toEqual(['one'])
  })

  it.each(['writeSynced', 'rename'] as const)(
    'whose %s fails has stored nothing, and can be repeated (B4)',
    async (at) => {
      const { disk } = diskThatEndsAt(at, { dies: false })
      const objects = open(disk)
      await expect(objects.put('one', bytes('content'))).rejects.toMatchObject({
        code: 'RETRY',
        message: expect.stringContaining(folder),
      })
      expect(await objects.get('one')).toBeNull()
      expect(await readdir(folder)).toEqual([])
      await objects.put('one', bytes('content'))
      expect(text(await objects.get('one'))).toBe('content')
    },
  )

  it('whose folder cannot be synced is UNKNOWN, and the same put again syncs it (O4)', async () => {
    const { disk, steps } = diskThatEndsAt('syncFolder', { dies: false })
    const objects = open(disk)
    await expect(objects.put('one', bytes('content'))).rejects.toMatchObject({ code: 'UNKNOWN' })
    await objects.put('one', bytes('content'))
    expect(steps.filter((step) => step === 'syncFolder')).toHaveLength(2)
    expect(text(await open().get('one'))).toBe('content')
  })

  it.each([
    ['before anything is written (O1)', 'writeSynced', null],
    ['before the rename (O3)', 'rename', null],
    ['before the folder is synced (O4)', 'syncFolder', 'content'],
  ] as const)('whose process dies %s leaves all or nothing', async (_, at, found) => {
    const { disk } = diskThatEndsAt(at, { dies: true })
    await expect(open(disk).put('one', bytes('content'))).rejects.toThrow()
    const again = open()
    expect(text(await again.get('one'))).toBe(found === null ? undefined : found)
    expect(await again.list('')).toHaveLength(found === null ? 0 : 1)
    await again.put('one', bytes('content'))
    expect(text(await again.get('one'))).toBe('content')
  })

  it('whose process dies while it writes leaves a file that nobody takes for an object, wherever it ends (B2, B6)', async () => {
    await open().put('one', pattern(100))
    const whole = await readFile(join(folder, 'one'))
    await rm(join(folder, 'one'))
    for (let length = 0; length <= whole.length; length++) {
      await writeFile(join(folder, 'one~'), whole.subarray(0, length))
      const objects = open()
      expect(await objects.get('one')).toBeNull()
      expect(await objects.list('')).toEqual([])
      expect(await objects.sweep()).toBe(1)
      expect(await readdir(folder)).toEqual([])
    }
  })

  it('goes on over the remains of one that died, and is not swept while it is under way (O5)', async () => {
    await writeFile(join(folder, 'one~'), 'remains')
    await writeFile(join(folder, 'two~'), 'remains')
    let swept: Promise<number> | undefined
    const objects = open({
      ...realDisk,
      async writeSynced(path, content) {
        await realDisk.writeSynced(path, content)
        swept ??= objects.sweep()
        await swept
      },
    })
    await objects.put('one', bytes('content'))
    expect(await swept).toBe(1)
    expect(await readdir(folder)).toEqual(['one'])
    expect(text(await objects.get('one'))).toBe('content')
  })
})

describe('a sweep of the embedded objects', () => {
  it('spares a put that has begun since (O5)', async () => {
    await writeFile(join(folder, 'one~'), 'remains')
    await writeFile(join(folder, 'two~'), 'remains')
    const objects = open({
      ...realDisk,
      async writeSynced(path, content) {
        await realDisk.writeSynced(path, content)
        await swept
      },
    })
    const swept = objects.sweep()
    await objects.put('two', bytes('content'))
    expect(await swept).toBe(1)
    expect(await readdir(folder)).toEqual(['two'])
  })
})

describe('a deletion of the embedded objects', () => {
  it('that fails has deleted nothing, or nobody knows (B4)', async () => {
    await open().put('one', bytes('content'))
    const removing = open(diskThatEndsAt('remove', { dies: false }).disk)
    await expect(removing.delete('one')).rejects.toMatchObject({ code: 'RETRY' })
    expect(text(await removing.get('one'))).toBe('content')
    const syncing = open(diskThatEndsAt('syncFolder', { dies: false }).disk)
    await expect(syncing.delete('one')).rejects.toMatchObject({ code: 'UNKNOWN' })
    await syncing.delete('one')
    expect(await syncing.get('one')).toBeNull()
  })
})

describe('a file of an embedded object', () => {
  it('lies on the disk as it is written down here, in every version', async () => {
    await open().put('p0.Gen.1', bytes('abc'))
    expect(await readdir(folder)).toEqual(['p0.+Gen.1'])
    expect((await readFile(join(folder, 'p0.+Gen.1'))).toString('hex')).toBe(
      [
        // HFOBJECT
        '48464f424a454354',
        // SHA-256 of what follows
        'ce91dc5eec0139adf091900d225971d6ad246a845bad791b5693a9d0d55dd391',
        // length 3, abc
        '0300000000000000616263',
      ].join(''),
    )
  })

  it('that is damaged is INTERNAL, whichever byte is wrong, cut or added (B5)', async () => {
    const objects = open()
    await objects.put('one', pattern(40))
    const path = join(folder, 'one')
    const whole = await readFile(path)
    const damaged = { code: 'INTERNAL', message: expect.stringContaining('the object one is damaged') }
    for (let at = 0; at < whole.length; at++) {
      const wrong = Buffer.from(whole)
      wrong[at]! ^= 0x20
      await writeFile(path, wrong)
      await expect(objects.get('one')).rejects.toMatchObject(damaged)
      await truncate(path, at)
      await expect(objects.get('one')).rejects.toMatchObject(damaged)
    }
    await writeFile(path, whole)
    await appendFile(path, 'x')
    await expect(objects.get('one')).rejects.toMatchObject(damaged)
    await expect(objects.put('one', pattern(40))).rejects.toMatchObject(damaged)
    await objects.delete('one')
    await objects.put('one', pattern(40))
    expect(same((await objects.get('one'))!, pattern(40))).toBe(true)
  })

  it('of another name than an object can have is no object', async () => {
    for (const file of ['Gen', '+gen', 'a..b', 'a+', '.hidden', 'one~', 'käse'])
      await writeFile(join(folder, file), 'x')
    expect(await open().list('')).toEqual([])
  })
})
