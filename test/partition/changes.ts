/** A log with its history as an owner keeps it: records are appended, and what is valid of them enters the history. */
import { changesOf, History, type Change } from '../../src/partition/history.ts'
import type { Seq } from '../../src/protocol/ids.ts'
import { decodeRecord } from '../../src/protocol/record.ts'
import { LogWriter, type WrittenTurn } from './log-writer.ts'
import { p0, PartitionWorld, type TestNode } from './world.ts'

export class HistoryBench {
  readonly world: PartitionWorld
  readonly node: TestNode
  readonly writer: LogWriter
  readonly voids = new Set<Seq>()
  /** All changes of the log, in order. */
  readonly changes: Change[] = []
  history!: History
  onRecord: ((seq: Seq, changes: readonly Change[], previous: Seq) => void) | undefined

  constructor(seed: string) {
    this.world = new PartitionWorld(seed)
    this.node = this.world.start('n1')
    this.writer = new LogWriter(this.world).claim('n1')
  }

  /** An ownership begins here: what is in the log by now is read from it when it is wanted. */
  begin(tailBytes = 1_000_000): this {
    const log = this.node.process.changelog.log(p0)
    this.history = new History(this.writer.position.seq, { log, voids: this.voids, tailBytes: () => tailBytes })
    return this
  }

  commit(...turns: WrittenTurn[]): Seq {
    this.writer.commit(turns)
    const records = this.world.world.changelog.recordsOf(p0)
    const { seq } = this.writer.position
    const changes = changesOf(seq, decodeRecord(records.at(-1)!))
    this.changes.push(...changes)
    if (this.history === undefined) return seq
    const previous = this.history.head
    this.history.add(seq, records.at(-1)!)
    this.onRecord?.(seq, changes, previous)
    return seq
  }

  stray(): void {
    this.writer.stray()
    this.voids.add(this.writer.position.seq)
  }

  after(seq: Seq): Change[] {
    return this.changes.filter((change) => change.seq > seq)
  }

  read(after: Seq): Promise<Change[]> {
    return this.world.settle(collect(this.history.after(after)))
  }
}

export async function collect<T>(batches: AsyncIterable<readonly T[]>): Promise<T[]> {
  const all: T[] = []
  for await (const batch of batches) all.push(...batch)
  return all
}
