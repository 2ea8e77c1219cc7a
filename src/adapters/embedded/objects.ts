/**
 * The objects of the embedded server: one file each in `<folder>`, named after the object (B1–B6 of the Objects port). A file:
 * "HFOBJECT", SHA-256 of all that follows (32 bytes), length (8 bytes, little-endian), the bytes.
 *
 * A put, in this order; whatever it fails or dies at, B2 holds:
 * O1. A file of another name, which ends in `~`, is written whole.
 * O2. It is synced.
 * O3. It is renamed: from here on readers find it.
 * O4. The folder is synced: from here on it outlives a power cut. If that fails the outcome is `UNKNOWN`, and the same put again syncs it.
 *
 * O5. Puts, deletions and sweeps of one name run one after the other. The process has the directory alone, so nobody else writes there.
 * O6. Names of files are the objects', with `+` before each capital letter: there are file systems on which `a` and `A` are one name.
 */
import { createHash } from 'node:crypto'
import { open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import {
  byName,
  checkObject,
  checkObjectName,
  checkObjectPrefix,
  isDamaged,
  isObjectName,
  isObjectUnder,
  isTaken,
} from '../../core/objects.ts'
import type { ObjectEntry, Objects } from '../../ports/objects.ts'
import { HoldfastError, isHoldfastError, messageOf } from '../../protocol/errors.ts'
import { fileFailure } from './failure.ts'
import { frameDisk } from './frame-disk.ts'

const magic = Buffer.from('HFOBJECT')
const digestBytes = 32
const header = magic.length + digestBytes + 8

/** What a put and a deletion do to the disk; tests put a failing one in its place. */
export interface ObjectDisk {
  /** O1, O2 */
  readonly writeSynced: (path: string, bytes: Uint8Array) => Promise<void>
  readonly rename: (from: string, to: string) => Promise<void>
  readonly remove: (path: string) => Promise<void>
  readonly syncFolder: (path: string) => Promise<void>
}

export interface EmbeddedObjectsOptions {
  /** Must be there. */
  readonly folder: string
  /** Default: the real one. */
  readonly disk?: ObjectDisk
}

export class EmbeddedObjects {
  readonly #folder: string
  readonly #disk: ObjectDisk
  /** What is under way, by the name of its object (O5). */
  readonly #underway = new Map<string, Promise<unknown>>()
  #closed = false

  constructor({ folder, disk = realDisk }: EmbeddedObjectsOptions) {
    this.#folder = folder
    this.#disk = disk
  }

  /** A node's handle. */
  connect(): Objects {
    return new Handle(this)
  }

  put(name: string, bytes: Uint8Array): Promise<void> {
    return this.#alone(name, async () => {
      const path = this.#pathOf(name)
      const present = await this.#read(path)
      if (present !== null) {
        if (Buffer.compare(contentOf(name, present), bytes) !== 0) throw isTaken(name)
        return this.#settle(name)
      }
      const scratch = `${path}~`
      try {
        await this.#disk.writeSynced(scratch, encode(bytes))
        await this.#disk.rename(scratch, path)
      } catch (error) {
        await rm(scratch, { force: true }).catch(() => {})
        throw this.#failed(name, 'RETRY', error)
      }
      await this.#settle(name)
    })
  }

  async get(name: string): Promise<Uint8Array | null> {
    this.#refuseClosed()
    const file = await this.#read(this.#pathOf(name))
    return file === null ? null : contentOf(name, file)
  }

  async list(prefix: string): Promise<ObjectEntry[]> {
    this.#refuseClosed()
    const names = (await this.#files()).map(nameOf).filter((name) => name !== null && isObjectUnder(prefix, name))
    const entries = await Promise.all(names.map((name) => this.#entryOf(name!)))
    return entries.filter((entry) => entry !== null).toSorted(byName)
  }

  delete(name: string): Promise<void> {
    return this.#alone(name, async () => {
      try {
        await this.#disk.remove(this.#pathOf(name))
      } catch (error) {
        throw this.#failed(name, 'RETRY', error)
      }
      await this.#settle(name)
    })
  }

  /** What a process that died has left; what is under way in this one has a name that is known (O5). */
  async sweep(): Promise<number> {
    this.#refuseClosed()
    let swept = 0
    for (const file of await this.#files()) {
      if (!file.endsWith('~')) continue
      const name = nameOf(file.slice(0, -1)) ?? file
      if (this.#underway.has(name)) continue
      await this.#alone(name, () => rm(join(this.#folder, file), { force: true }))
      swept++
    }
    return swept
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.allSettled(this.#underway.values())
  }

  async #alone<T>(name: string, run: () => Promise<T>): Promise<T> {
    this.#refuseClosed()
    const before = this.#underway.get(name)
    const mine = (before ?? Promise.resolve()).then(run, run)
    this.#underway.set(name, mine)
    try {
      return await mine
    } finally {
      if (this.#underway.get(name) === mine) this.#underway.delete(name)
    }
  }

  /** O4 */
  async #settle(name: string): Promise<void> {
    try {
      await this.#disk.syncFolder(this.#folder)
    } catch (error) {
      throw this.#failed(name, 'UNKNOWN', error)
    }
  }

  async #read(path: string): Promise<Buffer | null> {
    try {
      return await readFile(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw fileFailure(path, error)
    }
  }

  async #entryOf(name: string): Promise<ObjectEntry | null> {
    const path = this.#pathOf(name)
    try {
      return { name, bytes: Math.max(0, (await stat(path)).size - header) }
    } catch (error) {
      // Deleted meanwhile.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw fileFailure(path, error)
    }
  }

  async #files(): Promise<string[]> {
    try {
      return await readdir(this.#folder)
    } catch (error) {
      throw fileFailure(this.#folder, error)
    }
  }

  #pathOf(name: string): string {
    return join(this.#folder, fileOf(name))
  }

  #failed(name: string, code: 'RETRY' | 'UNKNOWN', cause: unknown): HoldfastError {
    if (isHoldfastError(cause)) return cause
    const said = code === 'RETRY' ? 'cannot be' : 'may or may not be'
    return new HoldfastError(
      code,
      `the object ${name} ${said} written or deleted (${messageOf(cause)}): look after the disk of ${this.#folder}, then do the same again`,
      { cause },
    )
  }

  #refuseClosed(): void {
    if (this.#closed) throw new HoldfastError('RETRY', 'the embedded server is closed: open it again')
  }
}

class Handle implements Objects {
  readonly #server: EmbeddedObjects
  #closed = false

  constructor(server: EmbeddedObjects) {
    this.#server = server
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    checkObject(name, bytes)
    this.#refuseClosed()
    await this.#server.put(name, bytes.slice())
  }

  async get(name: string): Promise<Uint8Array | null> {
    checkObjectName(name)
    this.#refuseClosed()
    return this.#server.get(name)
  }

  async list(prefix: string): Promise<readonly ObjectEntry[]> {
    checkObjectPrefix(prefix)
    this.#refuseClosed()
    return this.#server.list(prefix)
  }

  async delete(name: string): Promise<void> {
    checkObjectName(name)
    this.#refuseClosed()
    await this.#server.delete(name)
  }

  async sweep(): Promise<number> {
    this.#refuseClosed()
    return this.#server.sweep()
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #refuseClosed(): void {
    if (this.#closed) throw new HoldfastError('RETRY', 'this handle of the objects is closed: open another')
  }
}

function encode(bytes: Uint8Array): Buffer {
  const file = Buffer.allocUnsafe(header + bytes.length)
  magic.copy(file)
  file.writeBigUInt64LE(BigInt(bytes.length), magic.length + digestBytes)
  file.set(bytes, header)
  file.set(digestOf(file), magic.length)
  return file
}

function contentOf(name: string, file: Buffer): Uint8Array {
  if (file.length < header || file.compare(magic, 0, magic.length, 0, magic.length) !== 0) {
    throw isDamaged(name, 'its file has no whole header')
  }
  const length = Number(file.readBigUInt64LE(magic.length + digestBytes))
  if (length !== file.length - header) throw isDamaged(name, `it has ${file.length - header} of ${length} bytes`)
  const end = magic.length + digestBytes
  if (digestOf(file).compare(file, magic.length, end) !== 0) throw isDamaged(name, 'its checksum is another')
  return Uint8Array.prototype.slice.call(file, header)
}

const digestOf = (file: Buffer): Buffer =>
  createHash('sha256')
    .update(file.subarray(magic.length + digestBytes))
    .digest()

/** O6 */
const fileOf = (name: string): string => name.replace(/[A-Z]/g, '+$&')

/** Null: it is no object's file. */
function nameOf(file: string): string | null {
  const name = file.replace(/\+(?=[A-Z])/g, '')
  return isObjectName(name) && fileOf(name) === file ? name : null
}

export const realDisk: ObjectDisk = {
  async writeSynced(path, bytes) {
    const handle = await open(path, 'w')
    try {
      await handle.writeFile(bytes)
      await handle.datasync()
    } finally {
      await handle.close()
    }
  },
  rename,
  remove: (path) => rm(path, { force: true }),
  syncFolder: frameDisk.syncFolder,
}
