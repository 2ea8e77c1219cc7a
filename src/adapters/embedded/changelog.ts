/**
 * The logs of the embedded server: `<folder>/p<n>.log`, one frame file for each partition, its label the generation, its frames
 * the records (C1–C7 of the Changelog port). A log is opened, and wholly checked, when it is first used.
 *
 * E1. The number check looks at what was given, durable or not: so a pipeline is answered in its order.
 * E2. `info` and `read` speak of what is durable only, after what was under way is settled.
 * E3. A log that is trimmed is copied without its beginning; whatever is asked of it meanwhile waits. Where it cannot be copied it is what it
 *     was. Once the copy has its name the old file is closed; where the new one cannot be opened then, who asks next tries again.
 */
import { join } from 'node:path'
import { checkTrim } from '../../core/trim.ts'
import type { AppendResult, Changelog, LogEntry, LogInfo, PartitionLog } from '../../ports/changelog.ts'
import { HoldfastError, messageOf } from '../../protocol/errors.ts'
import { generation, partitionId, seq, type Generation, type PartitionId, type Seq } from '../../protocol/ids.ts'
import { frameDisk, type FrameDisk } from './frame-disk.ts'
import { FrameFile } from './frame-file.ts'
import { FrameReading } from './frame-reading.ts'

export interface EmbeddedChangelogOptions {
  /** Must be there. */
  readonly folder: string
  /** Bytes that a record may have. */
  readonly maxRecord: number
  /** Default: the real one. */
  readonly disk?: FrameDisk
}

export class EmbeddedChangelog {
  readonly #folder: string
  readonly #maxRecord: number
  readonly #disk: FrameDisk
  /** Files that are open or being opened; null: there is none. */
  readonly #files = new Map<PartitionId, Promise<FrameFile | null>>()
  #closed = false

  constructor({ folder, maxRecord, disk = frameDisk }: EmbeddedChangelogOptions) {
    this.#folder = folder
    this.#maxRecord = maxRecord
    this.#disk = disk
  }

  /** A node's handle. */
  connect(): Changelog {
    return new Handle(this)
  }

  async provision(
    partition: PartitionId,
    ofGeneration: Generation,
    genesis: Uint8Array,
    first?: Seq,
  ): Promise<{ created: boolean }> {
    const provisioned = this.#file(partition).then(async (file) => {
      if (file !== null) return { file, created: false }
      await FrameFile.create(this.#pathOf(partition), ofGeneration, [genesis], first)
      return { file: await this.#open(partition), created: true }
    })
    // Whoever comes meanwhile waits for this.
    void this.#remember(
      partition,
      provisioned.then(({ file }) => file),
    )
    return { created: (await provisioned).created }
  }

  async info(partition: PartitionId): Promise<LogInfo | null> {
    const file = await this.#file(partition)
    if (file === null) return null
    await file.settled()
    return { generation: generation(file.label), first: seq(file.first), last: seq(file.last) }
  }

  async append(partition: PartitionId, record: Uint8Array, expected: Seq): Promise<AppendResult> {
    if (record.length > this.#maxRecord) {
      return {
        kind: 'refused',
        reason: `the record has ${record.length} bytes, and the log takes at most ${this.#maxRecord}`,
      }
    }
    try {
      const taken = record.slice()
      const file = await this.#file(partition)
      if (file === null) return { kind: 'refused', reason: `partition ${partition} has no log` }
      return await appendTo(file, taken, expected)
    } catch (error) {
      // It never reached the file.
      return { kind: 'refused', reason: messageOf(error) }
    }
  }

  async *read(partition: PartitionId, from: Seq, to: Seq): AsyncGenerator<LogEntry> {
    const file = await this.fileOf(partition)
    await file.settled()
    if (from <= to && to > file.last) {
      throw new HoldfastError(
        'RETRY',
        `the log of partition ${partition} ends at ${file.last}, before ${to}: ask for its info again`,
      )
    }
    try {
      for await (const frame of file.read(from, to)) yield { seq: seq(frame.seq), record: frame.body }
    } catch (cause) {
      // Its file was closed when the log was trimmed.
      if ((await this.#file(partition)) === file) throw cause
      throw new HoldfastError('RETRY', `the log of partition ${partition} was trimmed while it was read: try again`, {
        cause,
      })
    }
  }

  async trim(partition: PartitionId, first: Seq): Promise<void> {
    const before = this.#file(partition)
    const trimming = before.then((file) => this.#trimmed(partition, file, first))
    const kept = trimming.catch(async (error: unknown) => {
      const file = await before
      if (file?.closed === true) throw error
      return file
    })
    // E3
    void this.#remember(partition, kept)
    await trimming
  }

  async #trimmed(partition: PartitionId, file: FrameFile | null, first: Seq): Promise<FrameFile> {
    if (file === null) throw new HoldfastError('NOT_FOUND', `partition ${partition} has no log`)
    // Appends that were asked for in the same moment reach the file before it is copied.
    await Promise.resolve()
    await file.settled()
    checkTrim(partition, first, file.last)
    if (first <= file.first) return file
    await file.trim(first)
    await file.close()
    return (await this.#open(partition))!
  }

  /** The file of a log that is to be followed. */
  async fileOf(partition: PartitionId): Promise<FrameFile> {
    const file = await this.#file(partition)
    if (file === null) throw noLog(partition)
    return file
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.allSettled([...this.#files.values()].map(async (file) => (await file)?.close()))
  }

  #file(partition: PartitionId): Promise<FrameFile | null> {
    if (this.#closed) return Promise.reject(new HoldfastError('RETRY', 'the embedded server is closed: open it again'))
    return this.#files.get(partition) ?? this.#remember(partition, this.#open(partition))
  }

  /** Once it failed, the next one who asks tries again. */
  #remember(partition: PartitionId, file: Promise<FrameFile | null>): Promise<FrameFile | null> {
    this.#files.set(partition, file)
    file.catch(() => this.#files.get(partition) === file && this.#files.delete(partition))
    return file
  }

  #open(partition: PartitionId): Promise<FrameFile | null> {
    return FrameFile.open(this.#pathOf(partition), { disk: this.#disk })
  }

  #pathOf(partition: PartitionId): string {
    return join(this.#folder, `p${partitionId(partition)}.log`)
  }
}

const noLog = (partition: PartitionId) => new HoldfastError('NOT_FOUND', `partition ${partition} has no log`)

async function appendTo(file: FrameFile, record: Uint8Array, expected: Seq): Promise<AppendResult> {
  if (file.given !== expected) return { kind: 'refused', reason: `the last sequence is ${file.given}, not ${expected}` }
  const outcome = await file.append(record)
  if (outcome.kind === 'stored') return { kind: 'accepted', seq: seq(expected + 1), duplicate: false }
  return { kind: outcome.kind === 'unknown' ? 'unknown' : 'refused', reason: outcome.reason }
}

class Handle implements Changelog {
  readonly #server: EmbeddedChangelog
  #closed = false

  constructor(server: EmbeddedChangelog) {
    this.#server = server
  }

  async provision(
    partition: PartitionId,
    ofGeneration: Generation,
    genesis: Uint8Array,
    first?: Seq,
  ): Promise<{ created: boolean }> {
    this.#refuseClosed()
    return this.#server.provision(partition, ofGeneration, genesis.slice(), first)
  }

  log(partition: PartitionId): PartitionLog {
    return {
      info: async () => {
        this.#refuseClosed()
        return this.#server.info(partition)
      },
      append: async (record, expected) => {
        if (this.#closed) return { kind: 'refused', reason: 'this handle is closed' }
        return this.#server.append(partition, record, expected)
      },
      read: (from, to) => {
        this.#refuseClosed()
        return this.#server.read(partition, from, to)
      },
      follow: (from) => {
        this.#refuseClosed()
        return new FrameReading(() => this.#server.fileOf(partition), from)
      },
      trim: async (first) => {
        this.#refuseClosed()
        await this.#server.trim(partition, first)
      },
    }
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #refuseClosed(): void {
    if (this.#closed) throw new HoldfastError('RETRY', 'this handle of the changelog is closed: open another')
  }
}
