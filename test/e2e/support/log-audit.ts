/** The changelogs of a cluster, read from genesis to their ends by an outsider, and checked (src/testing/check/logs.ts). */
import type { Changelog } from '../../../src/ports/changelog.ts'
import { partitionId, seq } from '../../../src/protocol/ids.ts'
import { LogCheck, type JudgedRecord } from '../../../src/testing/check/logs.ts'
import { Ledger } from './ledger.ts'

export interface Audit {
  readonly records: readonly JudgedRecord[]
  /** By the hash of each. */
  readonly byHash: ReadonlyMap<string, JudgedRecord>
  /** Of each ledger, as the valid records make it. */
  readonly states: ReadonlyMap<string, readonly string[]>
  /** What no log may hold though each record is valid by itself, a sentence each. */
  readonly findings: readonly string[]
}

/** Throws where a log is broken. */
export async function auditLogs(changelog: Changelog, partitions: number): Promise<Audit> {
  const check = new LogCheck()
  const records: JudgedRecord[] = []
  for (let n = 0; n < partitions; n++) {
    const log = changelog.log(partitionId(n))
    const info = await log.info()
    if (info === null) throw new Error(`partition ${n} has no log`)
    const read = check.log(partitionId(n), info.generation)
    let last = seq(0)
    for await (const { seq: at, record } of log.read(seq(1), info.last)) records.push(read((last = at), record))
    if (last !== info.last) throw new Error(`the log of partition ${n} was not read to its end`)
  }
  const byHash = new Map(records.map((record) => [record.hash, record]))
  const ledgers = check.statesOf(Ledger.type) as ReadonlyMap<string, { readonly ids: readonly string[] }>
  const states = new Map([...ledgers].map(([key, { ids }]) => [key, ids]))
  return { records, byHash, states, findings: check.wrong }
}
