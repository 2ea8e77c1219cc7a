/** What the files of the embedded server withstand: torn tails, damage, disks that fail. */
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EmbeddedChangelog } from '../../src/adapters/embedded/changelog.ts'
import { frameDisk, type FrameDisk, type FrameFileHandle } from '../../src/adapters/embedded/frame-disk.ts'
import { FrameFile } from '../../src/adapters/embedded/frame-file.ts'
import { encodeFrame, frameHeader } from '../../src/adapters/embedded/frame.ts'
import { EmbeddedRegistry } from '../../src/adapters/embedded/registry.ts'
import { generation, partitionId, seq } from '../../src/protocol/ids.ts'
import { bytes, pattern, same, text } from '../conformance/bytes.ts'

let folder: string
let path: string
let opened: FrameFile[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-frames-'))
  path = join(folder, 'file')
  opened = []
})
afterEach(async () => {
  for (const file of opened) await file.close()
  await rm(folder, { recursive: true, force: true })
})

async function openFile(disk: FrameDisk = frameDisk): Promise<FrameFile> {
  const file = (await FrameFile.open(path, { disk }))!
  opened.push(file)
  return file
}

/** A file of these bodies, each durable before the next is appended. */
async function fileOf(...bodies: readonly string[]): Promise<Buffer> {
  await FrameFile.create(path, 'label', [bytes(bodies[0]!)])
  const file = await openFile()
  for (const body of bodies.slice(1)) expect(await file.append(bytes(body))).toEqual({ kind: 'stored' })
  await file.close()
  return readFile(path)
}

async function bodiesOf(file: FrameFile, from = 1, to = file.last): Promise<(string | undefined)[]> {
  const bodies: (string | undefined)[] = []
  for await (const frame of file.read(from, to)) bodies.push(text(frame.body))
  return bodies
}

/** Tells each write and sync, and lets a test fail or hold them. */
class WatchedDisk implements FrameDisk {
  readonly events: string[] = []
  /** Where. */
  readonly written: number[] = []
  failWrites = 0
  failSyncs = 0
  failTruncates = 0
  #gate: Promise<void> | null = null
  #release!: () => void
  readonly syncFolder = frameDisk.syncFolder

  hold(): void {
    this.#gate = new Promise((resolve) => (this.#release = resolve))
  }
  letGo(): void {
    this.#release()
    this.#gate = null
  }
  readonly open = async (name: string): Promise<FrameFileHandle> => {
    const real = await open(name, 'r+')
    const fails = (what: 'failWrites' | 'failSyncs' | 'failTruncates', message: string) => {
      if (this[what] === 0) return
      this[what]--
      throw new Error(message)
    }
    const write = async (buffer: Buffer, offset: number, length: number, position: number) => {
      this.events.push('write')
      this.written.push(position)
      if (this.failWrites > 0) await real.write(buffer, offset, Math.floor(length / 2), position)
      fails('failWrites', 'ENOSPC: no space left on device')
      // Short writes are allowed, too.
      return real.write(buffer, offset, Math.max(1, Math.floor(length / 3)), position)
    }
    return {
      read: real.read.bind(real),
      stat: real.stat.bind(real),
      close: real.close.bind(real),
      write: write as unknown as FrameFileHandle['write'],
      truncate: async (length) => {
        fails('failTruncates', 'EIO: i/o error')
        await real.truncate(length)
      },
      datasync: async () => {
        this.events.push('sync begins')
        await this.#gate
        fails('failSyncs', 'EIO: i/o error')
        await real.datasync()
        this.events.push('sync ends')
      },
    }
  }
}

describe('a frame file', () => {
  it('is not there before it is made, and whole when it is (A2)', async () => {
    expect(await FrameFile.open(path)).toBeNull()
    await writeFile(`${path}.new`, 'left by a crash')
    expect(await FrameFile.open(path)).toBeNull()
    await fileOf('one', 'two')
    const file = await openFile()
    expect(file.label).toBe('label')
    expect(await bodiesOf(file)).toEqual(['one', 'two'])
  })

  it('lies on the disk as it is written down here, in every version', async () => {
    const golden = [
      // HOLDFAST, CRC-32, size 58, label of 5 bytes
      '484f4c44464153547257c6e63a0000000000000005006c6162656c',
      // HFR1, body of 3 bytes, CRC-32, sequence 1, durable 0
      '4846523103000000d416c788010000000000000000000000000000006f6e65',
      // the same with sequence 2, durable 58
      '4846523103000000728ff28a02000000000000003a0000000000000074776f',
    ].join('')
    expect((await fileOf('one', 'two')).toString('hex')).toBe(golden)
  })

  it('finds every frame again, wherever a read begins', async () => {
    await FrameFile.create(path, 'label', [bytes('body 1')])
    const file = await openFile()
    const outcomes = await Promise.all(Array.from({ length: 999 }, (_, i) => file.append(bytes(`body ${i + 2}`))))
    expect(outcomes.every((outcome) => outcome.kind === 'stored')).toBe(true)
    const again = await openFile()
    for (const reader of [file, again]) {
      for (const from of [1, 2, 127, 128, 129, 130, 256, 257, 900, 1_000]) {
        expect(await bodiesOf(reader, from, from + 2)).toEqual(
          [from, from + 1, from + 2].filter((n) => n <= 1_000).map((n) => `body ${n}`),
        )
      }
    }
    expect(await bodiesOf(again, 1_001, 1_005)).toEqual([])
  })

  it('holds frames that are larger than what it reads at a time', async () => {
    const bodies = [pattern(3_000_000), pattern(10), pattern(1_048_576 - frameHeader), pattern(2_500_000, 7)]
    await FrameFile.create(path, 'label', [bodies[0]!])
    const file = await openFile()
    for (const body of bodies.slice(1)) await file.append(body)
    const again = await openFile()
    let n = 0
    for await (const frame of again.read(1, 4)) expect(same(frame.body, bodies[n++]!)).toBe(true)
    expect(n).toBe(4)
  })

  describe('that is trimmed (A6)', () => {
    const bodies = Array.from({ length: 300 }, (_, i) => `body ${i + 1}`)

    it('begins with the frame that it was trimmed to, finds every other, and goes on behind the last', async () => {
      await fileOf(...bodies.slice(0, 3))
      let file = await openFile()
      await Promise.all(bodies.slice(3).map((body) => file.append(bytes(body))))
      for (const first of [1, 2, 130, 131, 258, 300]) {
        await file.trim(first)
        await file.close()
        file = await openFile()
        expect([file.first, file.last]).toEqual([first, 300])
        for (const from of [1, first, first + 1, 299]) {
          expect(await bodiesOf(file, from, 300)).toEqual(bodies.slice(Math.max(from, first) - 1))
        }
        expect(await bodiesOf(file, 1, first - 1)).toEqual([])
      }
      expect(await Promise.all([file.append(bytes('more')), file.append(bytes('and more'))])).toEqual([
        { kind: 'stored' },
        { kind: 'stored' },
      ])
      await file.close()
      expect(await bodiesOf(await openFile(), 299, 302)).toEqual(['body 300', 'more', 'and more'])
    })

    it('is the old one or the new one, whole, wherever the process dies', async () => {
      const old = await fileOf(...bodies.slice(0, 40))
      const file = await openFile()
      await file.trim(30)
      const trimmed = await readFile(path)
      for (let length = 0; length <= trimmed.length; length += 7) {
        await writeFile(path, old)
        await writeFile(`${path}.new`, trimmed.subarray(0, length))
        expect((await openFile()).first).toBe(1)
      }
      await writeFile(path, trimmed)
      const again = await openFile()
      expect(await bodiesOf(again)).toEqual(bodies.slice(29, 40))
    })

    it('is damaged wherever a byte of what it was trimmed to is wrong, and keeps a torn tail apart from that', async () => {
      await fileOf(...bodies.slice(0, 10))
      await (await openFile()).trim(8)
      const trimmed = await readFile(path)
      for (let at = 0; at < trimmed.length; at++) {
        const damaged = Buffer.from(trimmed)
        damaged[at]! ^= 0x20
        await writeFile(path, damaged)
        await expect(openFile()).rejects.toMatchObject({ code: 'INTERNAL', message: expect.stringContaining(path) })
      }
      await writeFile(path, trimmed)
      const file = await openFile()
      for (const body of ['eleven', 'twelve']) await file.append(bytes(body))
      await file.close()
      const whole = await readFile(path)
      await writeFile(path, whole.subarray(0, whole.length - 3))
      expect(await bodiesOf(await openFile(), 10, 12)).toEqual(['body 10', 'eleven'])
    })

    it('stays as it was where the new one cannot be written, or a frame is damaged', async () => {
      await fileOf(...bodies.slice(0, 10))
      const file = await openFile()
      const damaged = await readFile(path)
      damaged[damaged.indexOf('body 9')]! ^= 1
      await writeFile(path, damaged)
      await expect(file.trim(5)).rejects.toMatchObject({ code: 'INTERNAL' })
      expect((await readFile(path)).equals(damaged)).toBe(true)
      expect(await readdir(folder)).toEqual(['file'])
    })
  })

  describe('with a torn tail (A3)', () => {
    it('keeps what is whole, wherever the last frame was torn, and goes on behind it', async () => {
      const whole = await fileOf('one', 'two', 'three')
      const lastSize = frameHeader + 'three'.length
      for (let cut = 1; cut <= lastSize; cut++) {
        await writeFile(path, whole.subarray(0, whole.length - cut))
        const file = await openFile()
        expect(await bodiesOf(file)).toEqual(['one', 'two'])
        expect(await file.append(bytes('other'))).toEqual({ kind: 'stored' })
        await file.close()
        expect(await bodiesOf(await openFile())).toEqual(['one', 'two', 'other'])
      }
    })

    it.each([
      ['zeros, as a file system leaves them', (n: number) => Buffer.alloc(n)],
      ['bytes of something else', (n: number) => Buffer.from(pattern(n, 3))],
    ])('cuts %s', async (_, junk) => {
      const whole = await fileOf('one', 'two')
      for (const length of [1, frameHeader, 5_000, 2_000_000]) {
        await writeFile(path, Buffer.concat([whole, junk(length)]))
        expect(await bodiesOf(await openFile())).toEqual(['one', 'two'])
        expect((await readFile(path)).length).toBe(whole.length)
      }
    })

    it('cuts a frame that is not whole and all after it that was never settled', async () => {
      const whole = await fileOf('one', 'two')
      const unsettled = [3, 4, 5].map((n) => encodeFrame(n, whole.length, bytes(`frame ${n}`)))
      unsettled[0]![frameHeader]! ^= 1
      await writeFile(path, Buffer.concat([whole, ...unsettled]))
      expect(await bodiesOf(await openFile())).toEqual(['one', 'two'])
    })

    it('keeps a prefix of what was appended, and all that was settled, under any cut (A1)', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.nat({ max: 400 }), { minLength: 1, maxLength: 20 }),
          fc.nat(),
          async (sizes, cutAt) => {
            await FrameFile.create(path, 'label', [bytes('first')])
            const file = await openFile()
            const ends = [(await readFile(path)).length]
            for (const size of sizes) ends.push(ends.at(-1)! + frameHeader + size)
            await Promise.all(sizes.map((size) => file.append(pattern(size, size))))
            await file.close()
            const whole = await readFile(path)
            expect(whole.length).toBe(ends.at(-1))
            const cut = ends[0]! + (cutAt % (whole.length - ends[0]! + 1))
            await writeFile(path, whole.subarray(0, cut))
            const again = await openFile()
            expect(again.last).toBe(ends.filter((end) => end <= cut).length)
            const found: Uint8Array[] = []
            for await (const frame of again.read(2, again.last)) found.push(frame.body)
            expect(found.every((body, i) => same(body, pattern(sizes[i]!, sizes[i]!)))).toBe(true)
          },
        ),
        { numRuns: 40 },
      )
    })
  })

  describe('that is damaged before its tail (A3)', () => {
    it('is INTERNAL and left as it is, whichever byte is wrong', async () => {
      const whole = await fileOf('one', 'two', 'three')
      const lastAt = whole.length - (frameHeader + 'three'.length)
      for (let at = 0; at < lastAt; at++) {
        const damaged = Buffer.from(whole)
        damaged[at]! ^= 0x20
        await writeFile(path, damaged)
        await expect(openFile()).rejects.toMatchObject({ code: 'INTERNAL', message: expect.stringContaining(path) })
        expect((await readFile(path)).equals(damaged)).toBe(true)
      }
    })

    it.each([
      ['an empty file', async () => writeFile(path, '')],
      ['a file of something else', async () => writeFile(path, 'not a log at all, but long enough to be one')],
      ['a header alone', async () => writeFile(path, (await readFile(path)).subarray(0, 27))],
      [
        'a frame missing in the middle',
        async () => {
          const whole = await readFile(path)
          const two = whole.indexOf('two') - frameHeader
          await writeFile(path, Buffer.concat([whole.subarray(0, two), whole.subarray(two + frameHeader + 3)]))
        },
      ],
      [
        'a frame twice',
        async () => {
          const whole = await readFile(path)
          const two = whole.indexOf('two') - frameHeader
          const three = whole.indexOf('three') - frameHeader
          const four = encodeFrame(4, whole.length, bytes('four'))
          await writeFile(path, Buffer.concat([whole.subarray(0, three), whole.subarray(two), four]))
        },
      ],
    ])('is INTERNAL as %s', async (_, harm) => {
      await fileOf('one', 'two', 'three')
      await harm()
      const before = await readFile(path)
      await expect(openFile()).rejects.toMatchObject({ code: 'INTERNAL', message: expect.stringContaining(path) })
      expect((await readFile(path)).equals(before)).toBe(true)
    })

    it('fails the read that meets damage done while it is open (A5)', async () => {
      await fileOf('one', 'two', 'three')
      const file = await openFile()
      const damaged = await readFile(path)
      damaged[damaged.indexOf('two')]! ^= 1
      await writeFile(path, damaged)
      expect(await bodiesOf(file, 1, 1)).toEqual(['one'])
      await expect(bodiesOf(file, 1, 3)).rejects.toMatchObject({
        code: 'INTERNAL',
        message: expect.stringContaining('frame 2'),
      })
    })
  })

  describe('on a disk that is watched', () => {
    let disk: WatchedDisk
    let file: FrameFile
    beforeEach(async () => {
      await FrameFile.create(path, 'label', [bytes('one')])
      disk = new WatchedDisk()
      file = await openFile(disk)
    })

    it('settles an append after a sync that began when it was written (A1)', async () => {
      const settled = file.append(bytes('two')).then(() => disk.events.push('settled'))
      await settled
      const writes = disk.events.filter((event) => event === 'write').length
      expect(writes).toBeGreaterThan(1)
      expect(disk.events.slice(writes)).toEqual(['sync begins', 'sync ends', 'settled'])
    })

    it('takes what arrives during a sync together into the next, and shows nothing before (A1, A5)', async () => {
      disk.hold()
      const first = file.append(bytes('two'))
      while (!disk.events.includes('sync begins')) await new Promise(setImmediate)
      const others = Array.from({ length: 50 }, (_, i) => file.append(bytes(`later ${i}`)))
      expect(file.given).toBe(52)
      expect(file.last).toBe(1)
      expect(await bodiesOf(file, 1, 99)).toEqual(['one'])
      disk.letGo()
      await first
      await Promise.all(others)
      await file.settled()
      expect(disk.events.filter((event) => event === 'sync begins')).toHaveLength(2)
      expect(file.last).toBe(52)
      expect(await bodiesOf(file, 50, 52)).toEqual(['later 47', 'later 48', 'later 49'])
    })

    it('is damaged, not torn, where what was settled is wrong and a frame behind it is whole that waited meanwhile (A3)', async () => {
      disk.hold()
      const first = file.append(bytes('two'))
      while (!disk.events.includes('sync begins')) await new Promise(setImmediate)
      const second = file.append(bytes('three'))
      disk.letGo()
      expect([await first, await second]).toEqual([{ kind: 'stored' }, { kind: 'stored' }])
      await file.close()
      const damaged = await readFile(path)
      damaged[damaged.indexOf('two')]! ^= 1
      await writeFile(path, damaged)
      await expect(openFile()).rejects.toMatchObject({ code: 'INTERNAL' })
      expect((await readFile(path)).equals(damaged)).toBe(true)
    })

    it('keeps the newest frames in memory once they are durable, and no more than 256 KiB of them (A7)', async () => {
      disk.hold()
      const first = file.append(bytes('two'))
      while (!disk.events.includes('sync begins')) await new Promise(setImmediate)
      expect([1, 2, 3].map((n) => file.recent(n))).toEqual([undefined, undefined, undefined])
      disk.letGo()
      await first
      expect([1, 2, 3].map((n) => text(file.recent(n) ?? bytes('none')))).toEqual(['none', 'two', 'none'])
      const last = 402
      await Promise.all(Array.from({ length: last - 2 }, (_, i) => file.append(pattern(1_000, i + 3))))
      const kept = Array.from({ length: last + 1 }, (_, n) => n + 1).filter((n) => file.recent(n) !== undefined)
      expect(kept).toEqual(Array.from({ length: kept.length }, (_, i) => last - kept.length + 1 + i))
      expect(kept.length).toBe(Math.floor(262_144 / (1_000 + frameHeader)))
      for (const n of kept) expect(same(file.recent(n)!, pattern(1_000, n))).toBe(true)
    })

    it('cuts back what could not be written, says that it is not stored, and goes on (A4)', async () => {
      disk.failWrites = 1
      const failed = await Promise.all([file.append(bytes('two')), file.append(bytes('three'))])
      expect(failed.map((outcome) => outcome.kind)).toEqual(['not-stored', 'not-stored'])
      expect(file.given).toBe(1)
      expect(await file.append(bytes('again'))).toEqual({ kind: 'stored' })
      await file.close()
      expect(await bodiesOf(await openFile())).toEqual(['one', 'again'])
    })

    it('finds its frames also after some of them were cut back (A4)', async () => {
      const append = (from: number, to: number) =>
        Promise.all(
          Array.from({ length: to - from + 1 }, (_, i) => file.append(bytes(`body ${from + i} ${'x'.repeat(from)}`))),
        )
      await append(2, 120)
      disk.failWrites = 1
      const failed = await append(121, 300)
      expect(failed.every((outcome) => outcome.kind === 'not-stored')).toBe(true)
      await append(122, 410)
      expect(file.last).toBe(409)
      for (const from of [120, 128, 129, 130, 257, 385]) {
        const found = await bodiesOf(file, from, from + 1)
        expect(found.map((body) => body!.split(' ')[1])).toEqual([from, from + 1].map((n) => `${n <= 120 ? n : n + 1}`))
      }
    })

    it.each([
      ['a sync fails', () => (disk.failSyncs = 1)],
      ['neither the write nor the cut succeeds', () => ((disk.failWrites = 1), (disk.failTruncates = 1))],
    ])('says unknown where %s, and takes nothing more until it is opened again (A4)', async (_, harm) => {
      harm()
      const [outcome, behind] = await Promise.all([file.append(bytes('two')), file.append(bytes('three'))])
      expect([outcome.kind, behind.kind]).toEqual(['unknown', 'unknown'])
      expect((await file.append(bytes('more'))).kind).toBe('not-stored')
      await expect(file.settled()).rejects.toMatchObject({ code: 'INTERNAL' })
      await expect(bodiesOf(file)).rejects.toMatchObject({ code: 'INTERNAL' })
      await file.close()
      const again = await openFile()
      expect((await bodiesOf(again))[0]).toBe('one')
      expect(await again.append(bytes('back'))).toEqual({ kind: 'stored' })
    })

    it('is written and synced again where no frame proves that it was, before it is opened (A4)', async () => {
      const { length: made } = await readFile(path)
      disk.failSyncs = 1
      expect((await file.append(bytes('two'))).kind).toBe('unknown')
      await file.close()
      const left = await readFile(path)
      disk.events.length = 0
      disk.written.length = 0
      disk.failSyncs = 1
      await expect(openFile(disk)).rejects.toMatchObject({ code: 'INTERNAL' })
      await openFile(disk)
      expect(disk.events.slice(-2)).toEqual(['sync begins', 'sync ends'])
      expect(Math.min(...disk.written)).toBe(made)
      expect((await readFile(path)).equals(left)).toBe(true)
      const again = await openFile(disk)
      for (const body of ['three', 'four']) await again.append(bytes(body))
      const fourAt = (await readFile(path)).length - frameHeader - 'four'.length
      disk.written.length = 0
      await openFile(disk)
      expect(Math.min(...disk.written)).toBe(fourAt)
    })

    it('is not opened before its name is durable (A2)', async () => {
      await file.close()
      const asked: string[] = []
      const failing = async (name: string) => {
        asked.push(name)
        throw new Error('EIO: i/o error')
      }
      await expect(FrameFile.open(path, { disk: { ...frameDisk, syncFolder: failing } })).rejects.toMatchObject({
        code: 'INTERNAL',
      })
      expect(asked).toEqual([folder])
    })

    it('settles what is under way before it is closed, and nothing after', async () => {
      disk.hold()
      const underway = file.append(bytes('two'))
      const closed = file.close()
      expect((await file.append(bytes('three'))).kind).toBe('not-stored')
      while (!disk.events.includes('sync begins')) await new Promise(setImmediate)
      disk.letGo()
      expect(await underway).toEqual({ kind: 'stored' })
      await closed
      expect(await bodiesOf(await openFile())).toEqual(['one', 'two'])
    })
  })
})

/** Fails to sync folders as often as it is told to. */
class FailingFolders implements FrameDisk {
  failures = 0
  readonly open = frameDisk.open
  readonly syncFolder = async (name: string): Promise<void> => {
    if (this.failures === 0) return frameDisk.syncFolder(name)
    this.failures--
    throw new Error('EIO: i/o error')
  }
}

describe('an embedded log', () => {
  const p0 = partitionId(0)
  let changelog: EmbeddedChangelog
  beforeEach(async () => {
    changelog = new EmbeddedChangelog({ folder, maxRecord: 1_000 })
    const handle = changelog.connect()
    await handle.provision(p0, generation('g'), bytes('genesis'))
    for (let n = 1; n < 5; n++) await handle.log(p0).append(bytes(`record ${n + 1}`), seq(n))
    await changelog.close()
    changelog = new EmbeddedChangelog({ folder, maxRecord: 1_000 })
  })
  afterEach(() => changelog.close())

  it('that is damaged answers nothing, takes nothing, is not created again, and stays as it is', async () => {
    const damaged = await readFile(join(folder, 'p0.log'))
    damaged[damaged.indexOf('record 3')]! ^= 1
    await writeFile(join(folder, 'p0.log'), damaged)
    const handle = changelog.connect()
    const internal = { code: 'INTERNAL', message: expect.stringContaining('p0.log') }
    await expect(handle.log(p0).info()).rejects.toMatchObject(internal)
    await expect(handle.provision(p0, generation('h'), bytes('other'))).rejects.toMatchObject(internal)
    const result = await handle.log(p0).append(bytes('x'), seq(5))
    expect(result).toMatchObject({ kind: 'refused', reason: expect.stringContaining('damaged') })
    await expect(handle.log(p0).read(seq(1), seq(2))[Symbol.asyncIterator]().next()).rejects.toMatchObject(internal)
    expect((await readFile(join(folder, 'p0.log'))).equals(damaged)).toBe(true)
    await handle.provision(partitionId(1), generation('g'), bytes('genesis'))
    expect((await handle.log(partitionId(1)).info())!.last).toBe(1)
  })

  it('speaks of what is under way once it is settled', async () => {
    const log = changelog.connect().log(p0)
    await log.info()
    const append = log.append(bytes('record 6'), seq(5))
    await Promise.resolve()
    const info = await log.info()
    expect(info!.last).toBe(6)
    expect((await append).kind).toBe('accepted')
  })

  it('ends with RETRY for who follows it when it takes nothing more, at its end or before (C6)', async () => {
    const disk = new WatchedDisk()
    const failing = new EmbeddedChangelog({ folder, maxRecord: 1_000, disk })
    const log = failing.connect().log(p0)
    try {
      await log.info()
      const [late, early] = [log.follow(seq(6)), log.follow(seq(1))]
      const waiting = late.next().catch((error: unknown) => error)
      expect(await early.next()).toMatchObject({ seq: 1 })
      disk.failSyncs = 1
      expect((await log.append(bytes('record 6'), seq(5))).kind).toBe('unknown')
      expect(await waiting).toMatchObject({ code: 'RETRY', message: expect.stringContaining('cannot be written') })
      await expect(late.next()).rejects.toMatchObject({ code: 'RETRY' })
      const ended = (async () => {
        while ((await early.next()) !== undefined);
      })()
      await expect(ended).rejects.toMatchObject({ code: 'RETRY' })
      await expect(log.info()).rejects.toMatchObject({ code: 'INTERNAL' })
    } finally {
      await failing.close()
    }
  })

  it('that was trimmed, and could not be opened then, is opened by who asks next, and takes nothing before (E3)', async () => {
    const disk = new FailingFolders()
    const trimmed = new EmbeddedChangelog({ folder, maxRecord: 1_000, disk })
    const log = trimmed.connect().log(p0)
    try {
      await log.info()
      disk.failures = 2
      await expect(log.trim(seq(3))).rejects.toMatchObject({ code: 'INTERNAL' })
      expect((await log.append(bytes('lost'), seq(5))).kind).toBe('refused')
      expect((await log.append(bytes('record 6'), seq(5))).kind).toBe('accepted')
      expect(await log.info()).toEqual({ generation: 'g', first: 3, last: 6 })
    } finally {
      await trimmed.close()
    }
    expect(await changelog.connect().log(p0).info()).toEqual({ generation: 'g', first: 3, last: 6 })
  })

  it('that cannot be trimmed is what it was (E3)', async () => {
    const log = changelog.connect().log(p0)
    await log.info()
    await mkdir(join(folder, 'p0.log.new'))
    await expect(log.trim(seq(3))).rejects.toMatchObject({ code: 'INVALID' })
    expect((await log.append(bytes('record 6'), seq(5))).kind).toBe('accepted')
    expect(await log.info()).toEqual({ generation: 'g', first: 1, last: 6 })
  })

  it('that is torn goes on behind its last whole record', async () => {
    const whole = await readFile(join(folder, 'p0.log'))
    await writeFile(join(folder, 'p0.log'), whole.subarray(0, -3))
    const log = changelog.connect().log(p0)
    expect(await log.info()).toEqual({ generation: 'g', first: 1, last: 4 })
    expect((await log.append(bytes('record 5 again'), seq(4))).kind).toBe('accepted')
  })
})

describe('the embedded registry', () => {
  const direct = (run: () => void) => run()

  it('writes its file anew when most of it is dead, and loses neither a key nor the growth of revisions (R2, R3)', async () => {
    let registry = await EmbeddedRegistry.open({ folder, slack: 50 })
    const handle = registry.connect(direct)
    await handle.create('settings', bytes('kept'))
    let revision = 0
    let largest = 0
    for (let i = 0; i < 160; i++) {
      const result =
        revision === 0
          ? await handle.create('lease.n1', bytes('0'))
          : await handle.update('lease.n1', bytes(`${i}`), revision)
      if (result.kind !== 'written') throw new Error('a lease was lost')
      expect(result.revision).toBeGreaterThan(revision)
      revision = result.revision
      largest = Math.max(largest, (await readFile(join(folder, 'registry.log'))).length)
    }
    const gone = await handle.create('gone', bytes('x'))
    const deleted = await handle.delete('gone')
    if (gone.kind !== 'written' || deleted.kind !== 'written') throw new Error('not written')
    expect(largest).toBeLessThan(4_500)
    await registry.close()

    registry = await EmbeddedRegistry.open({ folder, slack: 0 })
    const again = registry.connect(direct)
    expect(text((await again.get('settings'))!.value)).toBe('kept')
    expect(await again.get('lease.n1')).toMatchObject({ revision })
    expect(await again.get('gone')).toBeNull()
    const writes = Array.from({ length: 20 }, (_, i) => again.create(`k${i}`, bytes(`${i}`)))
    for (const result of await Promise.all(writes)) {
      expect(result.kind === 'written' && result.revision).toBeGreaterThan(deleted.revision)
    }
    await registry.close()
    registry = await EmbeddedRegistry.open({ folder })
    expect(await registry.connect(direct).list('')).toHaveLength(22)
    await registry.close()
  })

  it('gives higher revisions after a rewrite of which the newest key is gone, and a restart (R3)', async () => {
    let registry = await EmbeddedRegistry.open({ folder, slack: 0 })
    const handle = registry.connect(direct)
    for (let i = 0; i < 5; i++) await handle.create(`k${i}`, bytes('x'))
    const deletions = []
    for (let i = 0; i < 5; i++) deletions.push(await handle.delete(`k${i}`))
    await registry.close()
    expect((await readFile(join(folder, 'registry.log'))).length).toBeLessThan(120)
    registry = await EmbeddedRegistry.open({ folder })
    const created = await registry.connect(direct).create('k', bytes('x'))
    expect(deletions.at(-1)).toEqual({ kind: 'written', revision: 10 })
    expect(created).toEqual({ kind: 'written', revision: 11 })
    await registry.close()
  })

  it('has what is durable for decided again where writes that follow one another fail together (R1)', async () => {
    const disk = new WatchedDisk()
    const registry = await EmbeddedRegistry.open({ folder, disk })
    const handle = registry.connect(direct)
    try {
      expect(await handle.create('key', bytes('1'))).toEqual({ kind: 'written', revision: 1 })
      disk.failWrites = 1
      const failed = await Promise.allSettled([
        handle.delete('key', 1),
        handle.create('key', bytes('2')),
        handle.create('other', bytes('x')),
      ])
      expect(failed.map(({ status }) => status)).toEqual(Array(3).fill('rejected'))
      expect(await handle.get('key')).toMatchObject({ revision: 1 })
      expect(await handle.create('key', bytes('2'))).toEqual({ kind: 'conflict' })
      expect(await handle.update('key', bytes('2'), 1)).toMatchObject({ kind: 'written' })
      expect(await handle.create('other', bytes('x'))).toMatchObject({ kind: 'written' })
    } finally {
      await registry.close()
    }
  })

  it('that wrote its file anew, and could not open it then, is opened by who comes next, and loses nothing (R2)', async () => {
    const disk = new FailingFolders()
    let registry = await EmbeddedRegistry.open({ folder, slack: 0, disk })
    const handle = registry.connect(direct)
    await handle.create('kept', bytes('1'))
    await handle.create('gone', bytes('x'))
    disk.failures = 2
    // The file is written anew behind it.
    await handle.delete('gone')
    for (let i = 0; i < 2; i++) await expect(handle.create('next', bytes('2'))).rejects.toMatchObject({ code: 'RETRY' })
    expect(disk.failures).toBe(0)
    expect((await handle.create('next', bytes('2'))).kind).toBe('written')
    expect((await handle.list('')).map(({ key }) => key)).toEqual(['kept', 'next'])
    await registry.close()
    registry = await EmbeddedRegistry.open({ folder })
    expect((await registry.connect(direct).list('')).map(({ key }) => key)).toEqual(['kept', 'next'])
    await registry.close()
  })

  it('does not take a file that another version wrote for its own', async () => {
    await FrameFile.create(join(folder, 'registry.log'), 'registry', [Uint8Array.of(99, 0, 0, 0, 0, 0, 0, 0, 0)])
    await expect(EmbeddedRegistry.open({ folder })).rejects.toMatchObject({
      code: 'INTERNAL',
      message: expect.stringContaining('another version'),
    })
  })

  it('is damaged where what its file was made with is, even at the very end', async () => {
    const registry = await EmbeddedRegistry.open({ folder })
    await registry.close()
    const content = await readFile(join(folder, 'registry.log'))
    for (const harmed of [content.subarray(0, -1), Buffer.concat([content.subarray(0, -1), Buffer.of(1)])]) {
      await writeFile(join(folder, 'registry.log'), harmed)
      await expect(EmbeddedRegistry.open({ folder })).rejects.toMatchObject({ code: 'INTERNAL' })
    }
  })

  it('is damaged as a whole where its file is', async () => {
    const registry = await EmbeddedRegistry.open({ folder })
    await registry.connect(direct).create('a', bytes('1'))
    await registry.connect(direct).create('b', bytes('2'))
    await registry.close()
    const content = await readFile(join(folder, 'registry.log'))
    content[content.indexOf('a1')]! ^= 1
    await writeFile(join(folder, 'registry.log'), content)
    await expect(EmbeddedRegistry.open({ folder })).rejects.toMatchObject({
      code: 'INTERNAL',
      message: expect.stringContaining('registry.log'),
    })
  })
})
