/**
 * What is wrong with what everybody was told around one strike, given what is there when nothing is under way any more.
 *
 * K1. Nothing that was acknowledged is lost, nothing is there twice, nothing is there that was refused or that nobody sent: appends to ledgers
 *     by their ids, sums of counters to the last unit.
 * K2. Every key is linearizable, reads included: no answer was stale.
 */
import type { Holdfast } from '../../src/index.ts'
import { counterOf } from '../../src/testing/check/counter.ts'
import type { History } from '../../src/testing/check/history.ts'
import { notLinearizable } from '../../src/testing/check/linearizable.ts'
import { wrongLists } from '../../src/testing/check/lists.ts'
import { registerOf } from '../../src/testing/check/register.ts'
import { wrongSums } from '../../src/testing/check/sums.ts'
import { Counter, Ledger } from '../e2e/support/ledger.ts'
import type { Histories } from './histories.ts'
import { store } from './load.ts'

/** What is there at the end, by key. */
export interface Finals {
  readonly ledgers: ReadonlyMap<string, readonly string[]>
  readonly counters: ReadonlyMap<string, number>
  readonly entries: ReadonlyMap<string, string | null>
  /** When it was read. */
  readonly atMs: number
}

/** Reads all of it, strongly. */
export async function readFinals(client: Holdfast, { ledgers, counters, entries }: Histories): Promise<Finals> {
  const read = async <T>(history: History, of: (key: string) => Promise<T>): Promise<ReadonlyMap<string, T>> =>
    new Map(await Promise.all([...history.keys()].map(async (key) => [key, await of(key)] as const)))
  // One clock for all: what is read is there until the end, as nothing is under way.
  const [lists, sums, values] = await Promise.all([
    read(ledgers as History, (key) => client.actor(Ledger, key).all()),
    read(counters as History, (key) => client.actor(Counter, key).sum()),
    read(entries as History, async (key) => (await client.kv<string>(store).get(key)) ?? null),
  ])
  return { ledgers: lists, counters: sums, entries: values, atMs: performance.now() }
}

/** A sentence for each thing that is wrong. The histories are added to: by what was read at the end. */
export function wrongWith(histories: Histories, finals: Finals): readonly string[] {
  const { ledgers, counters, entries, mistakes } = histories
  const { atMs } = finals
  const additions = [...counters].flatMap(({ key, input, outcome }, i) =>
    input.kind === 'add' ? [{ key, id: String(i), amount: input.amount, outcome }] : [],
  )
  const sums = new Map([...finals.counters].map(([key, sum]) => [key, { sum }]))
  const wrong = [...mistakes, ...wrongSums(additions, sums), ...wrongLists(ledgers, finals.ledgers, atMs)]
  for (const [key, sum] of finals.counters) {
    counters.ok(counters.invoke('the end', key, { kind: 'read' }, atMs), sum, atMs)
  }
  for (const [key, value] of finals.entries) {
    entries.ok(entries.invoke('the end', key, { kind: 'read' }, atMs), value, atMs)
  }
  return [...wrong, ...notLinearizable(counters, counterOf), ...notLinearizable(entries, registerOf)]
}
