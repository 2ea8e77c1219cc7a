/**
 * The objects, kept in memory by a server that nodes reach over links (B1–B6 of the Objects port). A put is there as a whole or not at
 * all, since it reaches the server as one message: there is nothing to sweep.
 */
import { hash } from 'node:crypto'
import {
  byName,
  checkObject,
  checkObjectName,
  checkObjectPrefix,
  isDamaged,
  isObjectUnder,
  isTaken,
} from '../../core/objects.ts'
import type { Clock } from '../../ports/clock.ts'
import type { ObjectEntry, Objects } from '../../ports/objects.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import type { Link } from './link.ts'
import { RequestLost, Requests } from './requests.ts'

interface Stored {
  readonly bytes: Uint8Array
  readonly digest: string
}

export interface ObjectsConnectOptions {
  readonly link: Link
  /** Of the node. */
  readonly clock: Clock
  /** Longest wait for an answer. Default 2,000. */
  readonly timeoutMs?: number
}

export class MemoryObjects {
  readonly #objects = new Map<string, Stored>()

  /** A node's handle. */
  connect(options: ObjectsConnectOptions): Objects {
    return new MemoryObjectsHandle(this, options)
  }

  /** False: there is one of that name with other bytes. */
  put(name: string, bytes: Uint8Array): boolean {
    const digest = digestOf(bytes)
    const present = this.#objects.get(name)
    if (present !== undefined) return present.digest === digest
    this.#objects.set(name, { bytes, digest })
    return true
  }

  get(name: string): Stored | null {
    return this.#objects.get(name) ?? null
  }

  list(prefix: string): ObjectEntry[] {
    return [...this.#objects]
      .filter(([name]) => isObjectUnder(prefix, name))
      .map(([name, { bytes }]) => ({ name, bytes: bytes.length }))
      .toSorted(byName)
  }

  delete(name: string): void {
    this.#objects.delete(name)
  }

  /** The disaster of B5: one bit is another. */
  damage(name: string): void {
    const { bytes } = this.#objects.get(name)!
    bytes[bytes.length >> 1]! ^= 1
  }
}

class MemoryObjectsHandle implements Objects {
  readonly #server: MemoryObjects
  readonly #requests: Requests

  constructor(server: MemoryObjects, { link, clock, timeoutMs = 2_000 }: ObjectsConnectOptions) {
    this.#server = server
    this.#requests = new Requests({ link, clock, timeoutMs })
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    checkObject(name, bytes)
    const taken = bytes.slice()
    if (!(await this.#ask('UNKNOWN', () => this.#server.put(name, taken)))) throw isTaken(name)
  }

  async get(name: string): Promise<Uint8Array | null> {
    checkObjectName(name)
    const stored = await this.#ask('RETRY', () => this.#server.get(name))
    if (stored === null) return null
    if (digestOf(stored.bytes) !== stored.digest) throw isDamaged(name, 'its checksum is another')
    return stored.bytes.slice()
  }

  async list(prefix: string): Promise<readonly ObjectEntry[]> {
    checkObjectPrefix(prefix)
    return this.#ask('RETRY', () => this.#server.list(prefix))
  }

  async delete(name: string): Promise<void> {
    checkObjectName(name)
    await this.#ask('UNKNOWN', () => this.#server.delete(name))
  }

  async sweep(): Promise<number> {
    return 0
  }

  close(): Promise<void> {
    this.#requests.close()
    return Promise.resolve()
  }

  /** `ifSent`: what a lost answer means. */
  async #ask<T>(ifSent: 'RETRY' | 'UNKNOWN', serve: () => T): Promise<T> {
    try {
      return await this.#requests.ask(serve)
    } catch (error) {
      if (!(error instanceof RequestLost)) throw error
      const code = error.sent ? ifSent : 'RETRY'
      throw new HoldfastError(code, `the objects' server did not answer (${error.message}): do the same again`, {
        cause: error,
      })
    }
  }
}

const digestOf = (bytes: Uint8Array): string => hash('sha256', bytes)
