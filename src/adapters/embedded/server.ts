/**
 * What a NATS server is to a cluster, in this process: messages, logs, objects and registry for one or several nodes, durable in one
 * directory: `<dataDir>/logs`, `<dataDir>/objects`, `<dataDir>/registry.log`.
 *
 * M1. One process has the directory; a second gets `CONFLICT`.
 * M2. Messages never leave the process, and are handed over as bytes in a tick of the receiver's own.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Changelog } from '../../ports/changelog.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Objects } from '../../ports/objects.ts'
import { silent, type Observer } from '../../ports/observer.ts'
import type { Random } from '../../ports/random.ts'
import type { Registry } from '../../ports/registry.ts'
import type { Transport } from '../../ports/transport.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import { MemoryHub } from '../memory/hub.ts'
import { DirectLink } from '../memory/link.ts'
import { DirectoryLock } from '../rocksdb/directory-lock.ts'
import { EmbeddedChangelog } from './changelog.ts'
import { fileFailure } from './failure.ts'
import { EmbeddedObjects } from './objects.ts'
import { EmbeddedRegistry } from './registry.ts'

export interface EmbeddedServerOptions {
  /** Created if it is not there. Not the directory of a node's stores. */
  readonly dataDir: string
  readonly clock: Clock
  readonly random: Random
  /** Bytes that one message may hold, headers included. A record may have 1,024 less. Default 1 MiB. */
  readonly maxPayload?: number
}

/** The ports of one node, or of a client. Close each; the server stays. */
export interface EmbeddedConnection {
  readonly transport: Transport
  readonly changelog: Changelog
  readonly registry: Registry
  readonly objects: Objects
}

export class EmbeddedServer {
  readonly #clock: Clock
  readonly #random: Random
  readonly #lock: DirectoryLock
  readonly #hub: MemoryHub
  readonly #changelog: EmbeddedChangelog
  readonly #registry: EmbeddedRegistry
  readonly #objects: EmbeddedObjects
  #closed = false

  /** Throws `CONFLICT` while another process has the directory, `INVALID` where permission is missing, `INTERNAL` for damage. */
  static async open(options: EmbeddedServerOptions): Promise<EmbeddedServer> {
    const lock = await DirectoryLock.take(options.dataDir)
    try {
      for (const folder of ['logs', 'objects']) await makeFolder(join(options.dataDir, folder))
      const registry = await EmbeddedRegistry.open({ folder: options.dataDir })
      return new EmbeddedServer(options, lock, registry)
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  private constructor(options: EmbeddedServerOptions, lock: DirectoryLock, registry: EmbeddedRegistry) {
    const { dataDir, clock, random, maxPayload = 1_048_576 } = options
    this.#clock = clock
    this.#random = random
    this.#lock = lock
    this.#hub = new MemoryHub({ random, maxPayload })
    this.#changelog = new EmbeddedChangelog({ folder: join(dataDir, 'logs'), maxRecord: maxPayload - 1_024 })
    this.#objects = new EmbeddedObjects({ folder: join(dataDir, 'objects') })
    this.#registry = registry
  }

  /** `observer` is told what handlers and listeners throw. */
  connect(observer: Observer = silent): EmbeddedConnection {
    if (this.#closed) throw new HoldfastError('RETRY', 'the embedded server is closed: open it again')
    const link = new DirectLink(this.#clock)
    return {
      transport: this.#hub.connect({ link, name: this.#random.id(), observer }),
      changelog: this.#changelog.connect(),
      registry: this.#registry.connect((run) => this.#clock.defer(run), observer),
      objects: this.#objects.connect(),
    }
  }

  /** Settles what is under way. Close the nodes before. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#changelog.close()
    await this.#objects.close()
    await this.#registry.close()
    await this.#lock.release()
  }
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true })
  } catch (error) {
    throw fileFailure(path, error)
  }
}
