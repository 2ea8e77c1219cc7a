/**
 * The changelogs of a cluster, read from genesis to their ends by an outsider and judged as nodes judge them (core/log.ts).
 */
import { recordHash } from '../../../src/core/hashing.ts'
import { judge, startOfLog, type LogPosition } from '../../../src/core/log.ts'
import type { Changelog } from '../../../src/ports/changelog.ts'
import { partitionId, seq } from '../../../src/protocol/ids.ts'
import { decodeRecord, type LogRecord } from '../../../src/protocol/record.ts'
import { decodeValue } from '../../../src/protocol/values.ts'

export interface AuditedRecord {
  readonly partition: number
  readonly seq: number
  /** Hex. */
  readonly hash: string
  readonly record: LogRecord
  readonly verdict: 'valid' | 'void'
}

export interface Audit {
  readonly records: readonly AuditedRecord[]
  /** By the hash of each. */
  readonly byHash: ReadonlyMap<string, AuditedRecord>
  /** Of each ledger, as the valid records make it. */
  readonly states: ReadonlyMap<string, readonly string[]>
  /** What no log may hold though each record is valid by itself, a sentence each. */
  readonly findings: readonly string[]
}

/** Throws where a log is broken. */
export async function auditLogs(changelog: Changelog, partitions: number): Promise<Audit> {
  const records: AuditedRecord[] = []
  const states = new Map<string, readonly string[]>()
  const findings: string[] = []
  for (let partition = 0; partition < partitions; partition++) {
    const log = await readLog(changelog, partition)
    records.push(...log)
    findings.push(...replay(log, states))
  }
  return { records, byHash: new Map(records.map((record) => [record.hash, record])), states, findings }
}

async function readLog(changelog: Changelog, partition: number): Promise<AuditedRecord[]> {
  const log = changelog.log(partitionId(partition))
  const info = await log.info()
  if (info === null) throw new Error(`partition ${partition} has no log`)
  let position: LogPosition = startOfLog(partitionId(partition), info.generation)
  const records: AuditedRecord[] = []
  for await (const { seq: at, record } of log.read(seq(1), info.last)) {
    const verdict = judge(position, at, record)
    if (verdict.kind === 'broken') throw new Error(`the log of partition ${partition} is broken: ${verdict.reason}`)
    position = verdict.position
    const hash = Buffer.from(recordHash(record)).toString('hex')
    records.push({ partition, seq: at, hash, record: decodeRecord(record), verdict: verdict.kind })
  }
  if (position.seq !== info.last) throw new Error(`the log of partition ${partition} was not read to its end`)
  return records
}

/** Each command once, each rev the next. */
function replay(log: readonly AuditedRecord[], states: Map<string, readonly string[]>): string[] {
  const findings: string[] = []
  const commands = new Set<string>()
  const revs = new Map<string, number>()
  for (const { partition, seq: at, record, verdict } of log) {
    if (verdict === 'void' || record.kind !== 'commit') continue
    for (const { session, number } of record.turns) {
      if (session === null) continue
      const command = `${record.sessions[session]!.session}:${number}`
      if (commands.has(command)) findings.push(`command ${command} is in partition ${partition} twice, again at ${at}`)
      commands.add(command)
    }
    for (const { key, rev, state } of record.turns.flatMap(({ mutations }) => mutations)) {
      if (state === undefined) continue
      if (rev !== (revs.get(key) ?? 0) + 1) findings.push(`rev ${rev} of ${key} at ${at} follows ${revs.get(key) ?? 0}`)
      revs.set(key, rev)
      states.set(key, state === null ? [] : (decodeValue(state) as { readonly ids: string[] }).ids)
    }
  }
  return findings
}
