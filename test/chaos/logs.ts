/**
 * The logs of a world, read from their first records to their ends, against what clients and nodes have said (src/testing/check/logs.ts).
 *
 * A1. What strong queries said of a ledger at the end of its strike is the beginning of what its log makes of it: what was UNKNOWN to the end
 *     may have been done later.
 * A2. A node that has applied a log up to a sequence has the state that the log says.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Changelog, LogEntry, PartitionLog } from '../../src/ports/changelog.ts'
import { isHoldfastError } from '../../src/protocol/errors.ts'
import { nextSeq, partitionId, seq, type Seq } from '../../src/protocol/ids.ts'
import { LogCheck } from '../../src/testing/check/logs.ts'
import { ReplicaCheck, type Replica } from '../../src/testing/check/replicas.ts'
import { Ledger } from '../e2e/support/ledger.ts'
import { isPrefix } from '../e2e/support/workload.ts'
import { allPartitions } from './world.ts'

export interface LogFindings {
  readonly records: number
  readonly wrong: readonly string[]
}

export async function auditLogs(
  changelog: Changelog,
  ledgers: ReadonlyMap<string, readonly string[]>,
  replicas: readonly Replica[],
): Promise<LogFindings> {
  const check = new LogCheck()
  const replicaCheck = new ReplicaCheck()
  const places = new Set(replicas.map(({ partition, seq }) => `${partition} ${seq}`))
  let records = 0
  for (const n of allPartitions) {
    const partition = partitionId(n)
    const log = changelog.log(partition)
    const info = await log.info()
    if (info === null) return { records, wrong: [`partition ${n} has no log`] }
    const read = check.log(partition, info.generation)
    for await (const { seq: at, record } of entriesOf(log, info.last)) {
      const { stateHash } = read(at, record)
      if (places.has(`${n} ${at}`)) replicaCheck.saw({ of: 'the log', partition: n, seq: at, hash: stateHash })
      records++
    }
  }
  for (const replica of replicas) replicaCheck.saw(replica)
  const states = check.statesOf(Ledger.type) as ReadonlyMap<string, { readonly ids: readonly string[] }>
  const wrong = [...ledgers]
    .filter(([key, ids]) => !isPrefix(ids, states.get(key)?.ids))
    .map(([key]) => `${key} was read as what its log does not make of it`)
  return { records, wrong: [...check.wrong, ...replicaCheck.wrong, ...wrong] }
}

const mostInterruptions = 50
const pauseMs = 200

/** All records up to `last`. Servers that elect another leader of the stream interrupt a reading: it goes on behind what it has. */
async function* entriesOf(log: PartitionLog, last: Seq): AsyncGenerator<LogEntry> {
  let next = seq(1)
  for (let interruptions = 0; ; interruptions++) {
    try {
      for await (const entry of log.read(next, last)) {
        next = nextSeq(entry.seq)
        yield entry
      }
      return
    } catch (error) {
      if (!isHoldfastError(error, 'RETRY') || interruptions >= mostInterruptions) throw error
      await pause(pauseMs)
    }
  }
}
