/**
 * Judges a run from outside: what clients were told against what the logs hold.
 *
 * J1. Every acknowledged append is in its ledger exactly once, at the place that its reply named.
 * J2. A doubtful one is there at most once; one that was refused, or failed, is not there.
 * J3. A strong read is a beginning of the final ledger, holds everything acknowledged before it was asked for, and is never shorter than
 *     what a read that ended before it saw.
 * J4. A watcher saw every rev of every key, once, in order, with the state of that rev.
 * J5. The logs are unbroken, and what was read back equals what they hold.
 */
import type { MemoryWorld } from '../../src/adapters/memory/world.ts'
import { judge as judgeRecord, startOfLog } from '../../src/core/log.ts'
import { partitionId, seq } from '../../src/protocol/ids.ts'
import { decodeValue } from '../../src/protocol/values.ts'
import { Ledger } from './ledger.ts'
import type { Operation, Seen } from './workload.ts'

/** The ledgers as the logs have them, by key; throws where a log is broken (J5). */
export function ledgersOf(world: MemoryWorld, partitions: number): Map<string, readonly string[]> {
  const ledgers = new Map<string, readonly string[]>()
  for (let n = 0; n < partitions; n++) {
    const partition = partitionId(n)
    const info = world.changelog.info(partition)
    if (info === null) throw new Error(`partition ${n} has no log`)
    let position = startOfLog(partition, info.generation)
    world.changelog.recordsOf(partition).forEach((bytes, i) => {
      const verdict = judgeRecord(position, seq(i + 1), bytes)
      if (verdict.kind === 'broken') throw new Error(`the log of partition ${n} is broken: ${verdict.reason}`)
      position = verdict.position
      if (verdict.kind !== 'valid' || verdict.record.kind !== 'commit') return
      for (const { type, key, state } of verdict.record.turns.flatMap(({ mutations }) => mutations)) {
        if (type === Ledger.type && state instanceof Uint8Array)
          ledgers.set(key, (decodeValue(state) as { ids: string[] }).ids)
      }
    })
  }
  return ledgers
}

/** A sentence for each thing that is wrong. */
export function wrongIn(history: readonly Operation[], ledgers: ReadonlyMap<string, readonly string[]>): string[] {
  const wrong: string[] = []
  for (const key of new Set(history.map((operation) => operation.key))) {
    const ledger = ledgers.get(key) ?? []
    const ofKey = history.filter((operation) => operation.key === key)
    wrong.push(...wrongAppends(ofKey, ledger, key), ...wrongReads(ofKey, ledger, key))
  }
  return wrong
}

function wrongAppends(history: readonly Operation[], ledger: readonly string[], key: string): string[] {
  const wrong: string[] = []
  const places = new Map<string, number[]>()
  ledger.forEach((id, place) => places.set(id, [...(places.get(id) ?? []), place]))
  for (const { kind, id, outcome } of history) {
    const at = places.get(id) ?? []
    if (at.length > 1) wrong.push(`${key}: ${id} was applied ${at.length} times`)
    if (kind === 'all' || outcome === undefined) continue
    if ('value' in outcome) {
      if (at.length === 0) wrong.push(`${key}: ${id} was acknowledged and is lost`)
      else if (at[0]! + 1 !== outcome.value)
        wrong.push(`${key}: ${id} is at ${at[0]! + 1}, its reply said ${String(outcome.value)}`)
    } else if (at.length > 0 && outcome.code !== 'UNKNOWN')
      wrong.push(`${key}: ${id} was refused (${outcome.code}) and applied`)
  }
  return wrong
}

function wrongReads(history: readonly Operation[], ledger: readonly string[], key: string): string[] {
  const wrong: string[] = []
  // Lengths that the ledger is known to have had, by when that was known.
  const known: { readonly heardMs: number; readonly length: number; readonly by: string }[] = []
  for (const { kind, id, outcome, heardMs } of history) {
    if (outcome === undefined || !('value' in outcome)) continue
    const length = kind === 'all' ? (outcome.value as string[]).length : (outcome.value as number)
    known.push({ heardMs, length, by: `${kind} ${id}` })
  }
  for (const { kind, id, askedMs, outcome } of history) {
    if (kind !== 'all' || outcome === undefined || !('value' in outcome)) continue
    const read = outcome.value as string[]
    if (read.some((entry, place) => ledger[place] !== entry))
      wrong.push(`${key}: read ${id} is not a beginning of the ledger`)
    const missed = known.find(({ heardMs, length }) => heardMs < askedMs && length > read.length)
    if (missed !== undefined) {
      wrong.push(
        `${key}: read ${id}, asked at ${askedMs}, saw ${read.length} of ${missed.length} known from ${missed.by} at ${missed.heardMs}`,
      )
    }
  }
  return wrong
}

export function wrongWatch(seen: readonly Seen[], ledgers: ReadonlyMap<string, readonly string[]>): string[] {
  const wrong: string[] = []
  const revs = new Map<string, number>()
  for (const { key, rev, ids } of seen) {
    const before = revs.get(key) ?? 0
    if (rev !== before + 1) wrong.push(`${key}: the watcher saw rev ${rev} after ${before}`)
    if (ids.length !== rev) wrong.push(`${key}: the watcher saw ${ids.length} ids at rev ${rev}`)
    revs.set(key, rev)
  }
  for (const [key, ledger] of ledgers) {
    const last = revs.get(key) ?? 0
    if (last !== ledger.length) wrong.push(`${key}: the watcher saw ${last} revs of ${ledger.length}`)
  }
  return wrong
}
