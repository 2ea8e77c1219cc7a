/**
 * The registry of the embedded server: a frame file of changes, `<folder>/registry.log`, and its keys in memory (G1–G3 of the
 * Registry port).
 *
 * R1. A compare-and-set is decided at once, against all writes decided before it; it is answered, shown to readers and told to
 *     watches when it is durable. A conflict with a write, and a read after it, are answered after that write is.
 * R2. The file is written anew, with what is there only, when it has grown far beyond that; the new one replaces it by a rename, and the
 *     old one is closed. Where the new one cannot be opened then, who comes next tries again.
 * R3. Revisions grow over restarts and rewrites.
 * R4. What a listener throws is reported, and stops nothing.
 */
import { join } from 'node:path'
import { silent, type Observer } from '../../ports/observer.ts'
import type { CasResult, Registry, RegistryChange, RegistryEntry } from '../../ports/registry.ts'
import type { Subscription } from '../../ports/transport.ts'
import { HoldfastError, messageOf } from '../../protocol/errors.ts'
import { checkKey, checkPrefix, isUnder } from '../memory/registry-key.ts'
import { frameDisk, type FrameDisk } from './frame-disk.ts'
import { FrameFile } from './frame-file.ts'
import { decodeChange, encodeChange, type StoredChange } from './registry-change.ts'

/** The file's label. */
const label = 'registry'
/** Frames that are dead weight, besides as many as there are keys, before the file is written anew. */
const usualSlack = 4_096

interface Watch {
  readonly prefix: string
  readonly tell: (change: RegistryChange) => void
}

export interface EmbeddedRegistryOptions {
  /** Must be there. */
  readonly folder: string
  /** Dead frames that are tolerated before the file is written anew. Default 4,096. */
  readonly slack?: number
  /** Default: the real one. */
  readonly disk?: FrameDisk
}

export class EmbeddedRegistry {
  readonly #path: string
  readonly #slack: number
  readonly #disk: FrameDisk
  #file: FrameFile
  /** As decided (R1). */
  readonly #decided = new Map<string, number>()
  /** As durable. */
  readonly #durable: Map<string, RegistryEntry>
  readonly #watches = new Set<Watch>()
  #revision: number
  /** Frames of the file. */
  #frames: number
  /** Writes wait for it while the file is written anew. */
  #rewriting: Promise<void> | null = null
  #underway = 0
  #closed = false

  static async open(options: EmbeddedRegistryOptions): Promise<EmbeddedRegistry> {
    const { folder, slack = usualSlack, disk = frameDisk } = options
    const path = join(folder, 'registry.log')
    const entries = new Map<string, RegistryEntry>()
    let revision = 0
    let frames = 0
    const visit = ({ body }: { readonly body: Uint8Array }) => {
      const change = decodeChange(body)
      if (change === null) {
        throw new HoldfastError(
          'INTERNAL',
          `${path} was written by another version of Holdfast: start that one, or restore the file from a copy`,
        )
      }
      revision = change.revision
      frames++
      if (change.kind === 'put') entries.set(change.key, { key: change.key, value: change.value, revision })
      else if (change.kind === 'delete') entries.delete(change.key)
    }
    let file = await FrameFile.open(path, { visit, disk })
    if (file === null) {
      await FrameFile.create(path, label, [encodeChange({ kind: 'floor', revision: 0 })])
      file = (await FrameFile.open(path, { visit, disk }))!
    }
    return new EmbeddedRegistry(path, { folder, slack, disk }, file, entries, revision, frames)
  }

  private constructor(
    path: string,
    options: Required<EmbeddedRegistryOptions>,
    file: FrameFile,
    entries: Map<string, RegistryEntry>,
    revision: number,
    frames: number,
  ) {
    this.#path = path
    this.#slack = options.slack
    this.#disk = options.disk
    this.#file = file
    this.#durable = entries
    for (const [key, entry] of entries) this.#decided.set(key, entry.revision)
    this.#revision = revision
    this.#frames = frames
  }

  /** A node's handle. `defer` calls back in a tick of its own; `observer` is told what listeners throw. */
  connect(defer: (run: () => void) => void, observer: Observer = silent): Registry {
    return new Handle(this, defer, observer)
  }

  async get(key: string): Promise<RegistryEntry | null> {
    await this.#settled()
    return this.#durable.get(key) ?? null
  }

  async list(prefix: string): Promise<RegistryEntry[]> {
    await this.#settled()
    return this.#under(prefix)
  }

  /** `expected`: the revision that the key must have; 0: there must be none; undefined: any. `value: null` deletes. */
  async write(key: string, value: Uint8Array | null, expected: number | undefined): Promise<CasResult> {
    this.#reopenClosed()
    while (this.#rewriting !== null) await this.#rewriting
    this.#refuseClosed()
    if (expected !== undefined && (this.#decided.get(key) ?? 0) !== expected) {
      await this.#settled()
      return { kind: 'conflict' }
    }
    const revision = ++this.#revision
    const change: StoredChange =
      value === null ? { kind: 'delete', key, revision } : { kind: 'put', key, value, revision }
    if (value === null) this.#decided.delete(key)
    else this.#decided.set(key, revision)
    this.#underway++
    const outcome = await this.#file.append(encodeChange(change))
    this.#underway--
    if (outcome.kind !== 'stored') {
      if (this.#decided.get(key) === (value === null ? undefined : revision)) this.#restore(key)
      const code = outcome.kind === 'unknown' ? 'UNKNOWN' : 'RETRY'
      throw new HoldfastError(code, `the registry could not write ${key} (${outcome.reason}): look after the disk`)
    }
    this.#frames++
    if (value === null) this.#durable.delete(key)
    else this.#durable.set(key, { key, value, revision })
    for (const watch of this.#watches) if (isUnder(watch.prefix, key)) watch.tell({ key, value, revision })
    if (this.#underway === 0 && this.#frames > 2 * this.#durable.size + this.#slack) this.#rewriting ??= this.#rewrite()
    return { kind: 'written', revision }
  }

  watch(watch: Watch): void {
    this.#watches.add(watch)
    for (const entry of this.#under(watch.prefix)) watch.tell(entry)
  }

  unwatch(watch: Watch): void {
    this.#watches.delete(watch)
  }

  async close(): Promise<void> {
    await this.#rewriting
    this.#closed = true
    await this.#file.close()
  }

  /** Waits for the writes under way. */
  async #settled(): Promise<void> {
    this.#reopenClosed()
    while (this.#rewriting !== null) await this.#rewriting
    this.#refuseClosed()
    try {
      await this.#file.settled()
    } catch (cause) {
      throw new HoldfastError('RETRY', `the registry cannot answer: ${messageOf(cause)}`, { cause })
    }
  }

  #under(prefix: string): RegistryEntry[] {
    return [...this.#durable.values()].filter((entry) => isUnder(prefix, entry.key))
  }

  #refuseClosed(): void {
    if (this.#closed) throw new HoldfastError('RETRY', 'the embedded server is closed: open it again')
  }

  /** Not what was decided before: that has failed with it, if it was not durable. */
  #restore(key: string): void {
    const revision = this.#durable.get(key)?.revision
    if (revision === undefined) this.#decided.delete(key)
    else this.#decided.set(key, revision)
  }

  /** R2. Where it fails the old file stays in use, and it is tried again later. */
  async #rewrite(): Promise<void> {
    const puts = [...this.#durable.values()].sort((a, b) => a.revision - b.revision)
    const changes: StoredChange[] = [
      ...puts.map((entry) => ({ kind: 'put' as const, ...entry })),
      { kind: 'floor', revision: this.#revision },
    ]
    try {
      await FrameFile.create(this.#path, label, changes.map(encodeChange))
    } catch {
      this.#frames = 0
      this.#rewriting = null
      return
    }
    await this.#reopen()
  }

  /** The old file has lost its name: whatever comes of the new one, nothing may be written there any more. */
  async #reopen(): Promise<void> {
    const open = () => FrameFile.open(this.#path, { disk: this.#disk })
    const fresh = await this.#file
      .close()
      .then(open)
      .catch(() => null)
    if (fresh !== null) {
      this.#file = fresh
      this.#frames = fresh.last
    }
    this.#rewriting = null
  }

  /** Where that has failed (R2). */
  #reopenClosed(): void {
    if (this.#file.closed && !this.#closed) this.#rewriting ??= this.#reopen()
  }
}

class Handle implements Registry {
  readonly #server: EmbeddedRegistry
  readonly #defer: (run: () => void) => void
  readonly #observer: Observer
  readonly #watches = new Set<Subscription>()
  #closed = false

  constructor(server: EmbeddedRegistry, defer: (run: () => void) => void, observer: Observer) {
    this.#server = server
    this.#defer = defer
    this.#observer = observer
  }

  async get(key: string): Promise<RegistryEntry | null> {
    checkKey(key)
    this.#refuseClosed()
    const entry = await this.#server.get(key)
    return entry && { ...entry, value: entry.value.slice() }
  }

  async list(prefix: string): Promise<readonly RegistryEntry[]> {
    checkPrefix(prefix)
    this.#refuseClosed()
    const entries = await this.#server.list(prefix)
    return entries.map((entry) => ({ ...entry, value: entry.value.slice() }))
  }

  create(key: string, value: Uint8Array): Promise<CasResult> {
    return this.#write(key, value, 0)
  }

  update(key: string, value: Uint8Array, revision: number): Promise<CasResult> {
    // No key ever has revision 0: that is `create`'s word for "none".
    return this.#write(key, value, revision === 0 ? -1 : revision)
  }

  delete(key: string, revision?: number): Promise<CasResult> {
    return this.#write(key, null, revision)
  }

  watch(prefix: string, listener: (change: RegistryChange) => void): Subscription {
    checkPrefix(prefix)
    let open = true
    const watch: Watch = {
      prefix,
      tell: ({ key, value, revision }) =>
        this.#defer(() => {
          if (!open) return
          try {
            listener({ key, value: value && value.slice(), revision })
          } catch (error) {
            this.#observer.emit({ type: 'handler.threw', where: `registry ${key}`, error })
          }
        }),
    }
    if (!this.#closed) this.#server.watch(watch)
    const subscription = {
      close: () => {
        open = false
        this.#watches.delete(subscription)
        this.#server.unwatch(watch)
      },
    }
    this.#watches.add(subscription)
    return subscription
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const watch of [...this.#watches]) watch.close()
  }

  async #write(key: string, value: Uint8Array | null, expected: number | undefined): Promise<CasResult> {
    checkKey(key)
    this.#refuseClosed()
    return this.#server.write(key, value && value.slice(), expected)
  }

  #refuseClosed(): void {
    if (this.#closed) throw new HoldfastError('RETRY', 'this handle of the registry is closed: open another')
  }
}
