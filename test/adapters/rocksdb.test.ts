import { chmod, mkdir, mkdtemp, readFile, readdir, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { RowBatch } from '../../src/core/row-batch.ts'
import { DirectoryLock } from '../../src/adapters/rocksdb/directory-lock.ts'
import { storeFailure } from '../../src/adapters/rocksdb/failure.ts'
import { RocksDbStores } from '../../src/adapters/rocksdb/stores.ts'
import type { Store } from '../../src/ports/store.ts'
import { partitionId } from '../../src/protocol/ids.ts'
import { bytes, pattern, text } from '../conformance/bytes.ts'
import { storeConformance } from '../conformance/store.ts'
import { build } from '../support/build.ts'
import { Child } from './fixtures/run-child.ts'

const p0 = partitionId(0)
const scratch = () => mkdtemp(join(tmpdir(), 'holdfast-rocksdb-'))
const key = (i: number) => bytes(`key ${String(i).padStart(5, '0')}`)

storeConformance('the RocksDB stores', async () => {
  const dataDir = await scratch()
  return {
    open: () => RocksDbStores.open({ dataDir }),
    close: () => rm(dataDir, { recursive: true, force: true }),
  }
})

describe('the RocksDB stores', () => {
  let dataDir: string
  let stores: RocksDbStores | undefined
  const children: Child[] = []
  // What they run is compiled once.
  beforeAll(build, 60_000)
  beforeEach(async () => {
    dataDir = await scratch()
  })
  afterEach(async () => {
    await Promise.all(children.splice(0).map((child) => child.kill()))
    await stores?.close()
    stores = undefined
    await rm(dataDir, { recursive: true, force: true })
  })

  const run = (what: string) => {
    const child = new Child(what, dataDir)
    children.push(child)
    return child
  }
  const openStores = async () => (stores = await RocksDbStores.open({ dataDir }))
  const folder = () => join(dataDir, 'p0')

  describe('and another process', () => {
    it('exclude one another, until that one is killed (S3)', async () => {
      const child = run('hold-stores')
      await child.said(1)
      await expect(openStores()).rejects.toMatchObject({ code: 'CONFLICT', message: expect.stringContaining(dataDir) })
      await child.kill()
      await (await openStores()).open(p0)
    })

    it('keep every batch that was answered, in order, though the process is killed (S1)', async () => {
      const child = run('write-stores')
      await child.said(200)
      await child.kill()
      const answered = Number(child.lines.at(-1))
      const store = await (await openStores()).open(p0)
      const latest = Number(text((await store.getMany([bytes('latest')]))[0]))
      expect(latest).toBeGreaterThanOrEqual(answered)
      const batches = await store.getMany(Array.from({ length: latest + 5 }, (_, i) => bytes(`batch ${i + 1}`)))
      expect(batches.map((value) => value !== undefined)).toEqual(batches.map((_, i) => i < latest))
    })

    it('do not keep it alive, nor load native code before they are opened', async () => {
      const child = run('leave-stores-open')
      expect(await child.ended()).toBe(0)
      expect(child.lines).toEqual(['before false', 'after true'])
      const store = await (await openStores()).open(p0)
      expect(text((await store.getMany([bytes('latest')]))[0])).toBe('left')
    })
  })

  describe('that are damaged (S4)', () => {
    const count = 2_000
    const filled = async () => {
      const store = await (await openStores()).open(p0)
      for (let i = 0; i < count; i += 100) {
        await store.write(
          RowBatch.of(Array.from({ length: 100 }, (_, j) => ({ key: key(i + j), value: pattern(1_000, i + j) }))),
        )
      }
      await store.close()
      // Opening again moves what the write-ahead log holds into a table.
      await (await stores!.open(p0)).close()
    }
    const files = async (suffix: string) =>
      (await readdir(folder())).filter((name) => name.endsWith(suffix) || name.startsWith(suffix))
    const damage = async (name: string, from: number, to: number) => {
      const path = join(folder(), name)
      const content = await readFile(path)
      for (let i = from; i < Math.min(to, content.length); i++) content[i]! ^= 0x5a
      await writeFile(path, content)
    }
    const damagedError = () => expect.objectContaining({ code: 'INTERNAL', message: expect.stringContaining(folder()) })

    const isSetAside = async () => {
      const before = await readdir(folder())
      const path = await stores!.setAside(p0, 'it was damaged by a test')
      expect(path!.startsWith(join(dataDir, 'set-aside', 'p0-'))).toBe(true)
      expect(await readdir(path!)).toEqual(expect.arrayContaining(before))
      expect(await readFile(join(path!, 'reason.txt'), 'utf8')).toContain('it was damaged by a test')
      const fresh = await stores!.open(p0)
      expect(await fresh.getMany([key(0)])).toEqual([undefined])
    }

    it.each([
      ['a manifest of other bytes', async () => damage((await files('MANIFEST'))[0]!, 0, 4_096)],
      ['CURRENT of other bytes', async () => damage('CURRENT', 0, 64)],
      ['an empty CURRENT', async () => truncate(join(folder(), 'CURRENT'))],
      ['no CURRENT', async () => rm(join(folder(), 'CURRENT'))],
      ['no manifest', async () => rm(join(folder(), (await files('MANIFEST'))[0]!))],
      ['a table cut short', async () => truncate(join(folder(), (await files('.sst'))[0]!), 5_000)],
      ['a table missing', async () => rm(join(folder(), (await files('.sst'))[0]!))],
    ])('are not opened with %s, and left as they are', async (_, harm) => {
      await filled()
      await harm()
      const data = async () => [...(await files('.sst')), ...(await files('CURRENT'))]
      const before = await data()
      expect(before.length).toBeGreaterThan(1)
      await expect(stores!.open(p0)).rejects.toEqual(damagedError())
      expect(await data()).toEqual(before)
      await isSetAside()
    })

    it('fail the read of a damaged block, and of no other, and go on', async () => {
      await filled()
      const tables = await files('.sst')
      expect(tables.length).toBeGreaterThan(0)
      for (const name of tables) await damage(name, 20_000, 24_000)
      const store = await stores!.open(p0)
      const outcomes = { right: 0, failed: 0 }
      for (let i = 0; i < count; i += 5) {
        try {
          const [value] = await store.getMany([key(i)])
          expect(Buffer.compare(value!, pattern(1_000, i))).toBe(0)
          outcomes.right++
        } catch (error) {
          expect(error).toEqual(damagedError())
          outcomes.failed++
        }
      }
      expect(outcomes.right).toBeGreaterThan(0)
      expect(outcomes.failed).toBeGreaterThan(0)
      const ranged = async () => {
        for await (const [found] of store.range(new Uint8Array([0]), new Uint8Array([255])))
          expect(found.length).toBeGreaterThan(0)
      }
      await expect(ranged()).rejects.toEqual(damagedError())
      await store.close()
      await isSetAside()
    })

    it('hold the effect of some first batches where the write-ahead log is damaged (S1)', async () => {
      const store = await (await openStores()).open(p0)
      for (let i = 0; i < 100; i++) await store.write(RowBatch.of([{ key: key(i), value: pattern(100, i) }]))
      await store.close()
      const [log] = await files('.log')
      const half = Math.floor((await readFile(join(folder(), log!))).length / 2)
      await damage(log!, half, half + 50)
      const again = await stores!.open(p0)
      const found = await again.getMany(Array.from({ length: 100 }, (_, i) => key(i)))
      const kept = found.filter((value) => value !== undefined).length
      expect(kept).toBeGreaterThan(20)
      expect(kept).toBeLessThan(80)
      expect(found.map((value) => value !== undefined)).toEqual(found.map((_, i) => i < kept))
    })
  })

  describe('where they cannot be', () => {
    it('are INVALID on a path that is a file, named in the error', async () => {
      const path = join(dataDir, 'file')
      await writeFile(path, 'x')
      for (const bad of [path, join(path, 'below')]) {
        await expect(RocksDbStores.open({ dataDir: bad })).rejects.toMatchObject({
          code: 'INVALID',
          message: expect.stringContaining(bad),
        })
      }
    })

    it('are INVALID without permission, named in the error', async () => {
      await (await openStores()).open(p0)
      await stores!.close()
      await chmod(dataDir, 0o755)
      const asNobody = process.getuid!() === 0
      if (asNobody) process.seteuid!(65_534)
      else await chmod(dataDir, 0o500)
      try {
        for (const path of [dataDir, join(dataDir, 'below')]) {
          await expect(RocksDbStores.open({ dataDir: path })).rejects.toMatchObject({
            code: 'INVALID',
            message: expect.stringMatching(new RegExp(`${path}.*read and write`)),
          })
        }
      } finally {
        if (asNobody) process.seteuid!(0)
        await chmod(dataDir, 0o700)
      }
      await openStores()
    })

    it('let go of the directory where what was left there to be deleted cannot be', async () => {
      const left = join(dataDir, 'discarded')
      await mkdir(join(left, 'p0-20260101T000000Z'), { recursive: true })
      await chmod(dataDir, 0o777)
      await chmod(left, 0o500)
      const asNobody = process.getuid!() === 0
      if (asNobody) process.seteuid!(65_534)
      try {
        await expect(RocksDbStores.open({ dataDir })).rejects.toMatchObject({
          code: 'INVALID',
          message: expect.stringContaining(left),
        })
      } finally {
        if (asNobody) process.seteuid!(0)
        await chmod(left, 0o700)
      }
      await (await openStores()).open(p0)
    })

    it('say in one sentence for which platforms there is a binary', () => {
      const error = storeFailure('/data', '', 'No native build was found for platform=linux arch=riscv64')
      expect(error).toMatchObject({
        code: 'INVALID',
        message: expect.stringMatching(/linux-x64 with glibc 2.34 or newer and on darwin-arm64/),
      })
      expect(error.message).toContain(`${process.platform}-${process.arch}`)
    })

    it('are closed though they cannot be written, and open again with what was written when there is room (S1)', async () => {
      const child = run('fill-disk')
      expect(await child.ended()).toBe(0)
      const [refusal, found] = child.lines
      expect(refusal).toBe('INVALID')
      const [, rows, written] = /^(\d+) of (\d+)$/.exec(found!)!.map(Number)
      expect(rows).toBe(written)
      expect(rows).toBeGreaterThan(5)
    })

    it('are INVALID, with the advice to free some, where no space is left: nothing is damaged', () => {
      expect(
        storeFailure('/data/p0', 'LEVEL_IO_ERROR', 'IO error: No space left on device: While appending'),
      ).toMatchObject({
        code: 'INVALID',
        message: expect.stringContaining('free some'),
      })
    })
  })

  it('are set aside where no reason can be put down, too, and it is said where they are', async () => {
    await (await (await openStores()).open(p0)).close()
    await mkdir(join(folder(), 'reason.txt'))
    const path = await stores!.setAside(p0, 'a test')
    expect(await readdir(path!)).toContain('CURRENT')
    expect(await readdir(dataDir)).not.toContain('p0')
  })

  it('end their thread where the lock cannot be given back in order', async () => {
    const lock = await DirectoryLock.take(dataDir)
    const path = join(dataDir, 'node')
    await lock.disk.ask(path, { op: 'close', path })
    await expect(lock.release()).rejects.toMatchObject({ code: 'INTERNAL' })
    await expect(lock.disk.ask(path, { op: 'close', path })).rejects.toMatchObject({
      message: expect.stringContaining('has ended'),
    })
  })

  it('answer everything that was asked before they are closed, in order', async () => {
    const store: Store = await (await openStores()).open(p0)
    const asked = Array.from({ length: 50 }, async (_, i) => {
      await store.write(RowBatch.of([{ key: bytes('k'), value: bytes(`${i}`) }]))
    })
    const read = store.getMany([bytes('k')])
    await stores!.close()
    await Promise.all(asked)
    expect(text((await read)[0])).toBe('49')
    await expect(store.getMany([bytes('k')])).rejects.toMatchObject({ code: 'INTERNAL' })
    await expect(stores!.open(p0)).rejects.toMatchObject({ code: 'INTERNAL' })
  })

  it('are gone at the next start where the process died while it deleted them', async () => {
    const store = await (await openStores()).open(p0)
    await store.write(RowBatch.of([{ key: bytes('k'), value: bytes('v') }]))
    await stores!.close()
    const half = join(dataDir, 'discarded', 'p0-20260101T000000Z')
    await mkdir(join(dataDir, 'discarded'))
    await rename(folder(), half)
    await rm(join(half, 'CURRENT'))
    const fresh = await (await openStores()).open(p0)
    expect(await fresh.getMany([bytes('k')])).toEqual([undefined])
    expect(await readdir(dataDir)).not.toContain('discarded')
  })

  it('open a folder that a crash left before there was data in it', async () => {
    await mkdir(folder(), { recursive: true })
    for (const name of ['LOCK', 'IDENTITY', 'MANIFEST-000001']) await writeFile(join(folder(), name), '')
    const store = await (await openStores()).open(p0)
    await store.write(RowBatch.of([{ key: bytes('k'), value: bytes('v') }]))
    expect(text((await store.getMany([bytes('k')]))[0])).toBe('v')
  })
})
