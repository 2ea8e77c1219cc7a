/**
 * The logs of a run, read from genesis to their ends and judged as nodes judge them (core/log.ts).
 *
 * D1. A log is not broken; reading one that is throws `BrokenLog`.
 * D2. In each epoch of a partition one process wrote what is valid, and no process has two nodes' names (L3, O1).
 * D3. A command is in a log once (R3).
 * D4. The revs of a key follow one another. One that was deleted and collected begins again above its last (E1).
 */
import { hash64FromBytes, hash64ToText, recordHash } from '../../core/hashing.ts'
import { BrokenLog, judge, startOfLog, type LogPosition } from '../../core/log.ts'
import type { Generation, PartitionId, Seq } from '../../protocol/ids.ts'
import { decodeRecord, type LogRecord, type Mutation } from '../../protocol/record.ts'
import { decodeValue } from '../../protocol/values.ts'

export interface JudgedRecord {
  readonly partition: number
  readonly seq: number
  /** Hex. */
  readonly hash: string
  readonly record: LogRecord
  readonly verdict: 'valid' | 'void'
  /** Of the partition after it, 16 hexadecimal digits. */
  readonly stateHash: string
}

export interface Version {
  readonly rev: number
  /** Encoded; `null`: deleted. */
  readonly state: Uint8Array | null
  /** Its tombstone is gone, too. */
  readonly collected: boolean
}

/** Of the logs of all partitions. Takes memory in proportion to commands and keys. */
export class LogCheck {
  readonly #wrong: string[] = []
  /** By type and key. */
  readonly #versions = new Map<string, Map<string, Version>>()
  readonly #writers = new WriterCheck()

  /** A sentence for each thing that is wrong. */
  get wrong(): readonly string[] {
    return [...this.#wrong, ...this.#writers.wrong]
  }

  /** Begins with the log of one partition: the result is to be called with each record, from sequence 1. */
  log(partition: PartitionId, generation: Generation): (seq: Seq, bytes: Uint8Array) => JudgedRecord {
    let position: LogPosition = startOfLog(partition, generation)
    let stateHash = ''
    const commands = new Set<string>()
    return (seq, bytes) => {
      const verdict = judge(position, seq, bytes)
      if (verdict.kind === 'broken') throw new BrokenLog(partition, verdict.reason)
      position = verdict.position
      const record = verdict.kind === 'valid' ? verdict.record : decodeRecord(bytes)
      if (verdict.kind === 'valid') {
        stateHash = hash64ToText(hash64FromBytes(record.stateHash))
        this.#writers.saw(record)
        this.#apply(record, seq, commands)
      }
      const hash = Buffer.from(recordHash(bytes)).toString('hex')
      return { partition, seq, hash, record, verdict: verdict.kind, stateHash }
    }
  }

  /** Of each key of a type that was ever there. */
  versionsOf(type: string): ReadonlyMap<string, Version> {
    return this.#versions.get(type) ?? new Map<string, Version>()
  }

  /** Of each key of a type that is there its state. */
  statesOf(type: string): ReadonlyMap<string, unknown> {
    const states = new Map<string, unknown>()
    for (const [key, { state }] of this.versionsOf(type)) if (state !== null) states.set(key, decodeValue(state))
    return states
  }

  #apply(record: LogRecord, seq: Seq, commands: Set<string>): void {
    if (record.kind !== 'commit') return
    for (const { session, number, mutations } of record.turns) {
      for (const mutation of mutations) this.#change(mutation, record.partition, seq)
      if (session === null) continue
      const command = `${record.sessions[session]!.session}:${number}`
      if (commands.has(command)) {
        this.#wrong.push(`command ${command} is in partition ${record.partition} twice, again at ${seq}`)
      }
      commands.add(command)
    }
  }

  #change({ type, key, rev, state }: Mutation, partition: number, seq: number): void {
    let ofType = this.#versions.get(type)
    if (ofType === undefined) this.#versions.set(type, (ofType = new Map<string, Version>()))
    const last = ofType.get(key) ?? { rev: 0, state: null, collected: false }
    if (state === undefined) return void ofType.set(key, { ...last, collected: true })
    if (last.collected ? rev <= last.rev : rev !== last.rev + 1) {
      this.#wrong.push(`rev ${rev} of ${type}/${key} follows ${last.rev}, in partition ${partition} at ${seq}`)
    }
    ofType.set(key, { rev, state, collected: false })
  }
}

/** D2, of records that a judge found valid: what it has let through is looked at once more, by epochs alone. */
export class WriterCheck {
  /** A sentence for each thing that is wrong. */
  readonly wrong: string[] = []
  /** Incarnations by partition and epoch. */
  readonly #writers = new Map<string, string>()
  /** Nodes by incarnation. */
  readonly #nodes = new Map<string, string>()

  saw(record: LogRecord): void {
    if (record.kind === 'genesis') return
    const { partition, epoch, incarnation } = record
    const place = `${partition} ${epoch}`
    const writer = this.#writers.get(place)
    if (writer === undefined) this.#writers.set(place, incarnation)
    else if (writer !== incarnation) {
      this.wrong.push(`epoch ${epoch} of partition ${partition} was written by ${writer} and by ${incarnation}`)
    }
    if (record.kind !== 'claim') return
    const node = this.#nodes.get(incarnation) ?? record.node
    this.#nodes.set(incarnation, node)
    if (node !== record.node) this.wrong.push(`process ${incarnation} is of node ${node} and of node ${record.node}`)
  }
}
