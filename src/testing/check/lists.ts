/** Lists of a run to which clients appended ids, each id once: everything that can be checked of them. */
import { wrongAppends, type Append } from './appends.ts'
import type { History, Operation } from './history.ts'
import { notLinearizable } from './linearizable.ts'
import { listOf, type ListInput, type ListOutput } from './list.ts'

/** The appends among the operations, for `wrongAppends`. */
export function appendsOf(operations: Iterable<Operation<ListInput, ListOutput>>): readonly Append[] {
  const appends: Append[] = []
  for (const { key, input, outcome } of operations) {
    if (input.kind === 'append') appends.push({ key, id: input.id, outcome: outcome as Append['outcome'] })
  }
  return appends
}

/**
 * A sentence for each thing that is wrong, given the lists at the end, when nothing is under way any more: appends that are lost, doubled or
 * made up, and keys that are not linearizable. `atMs`: when they were read, by the clock of the history, which is added to: that is a read.
 */
export function wrongLists(
  history: History<ListInput, ListOutput>,
  lists: ReadonlyMap<string, readonly string[]>,
  atMs: number,
): readonly string[] {
  const wrong = wrongAppends(appendsOf(history), lists)
  for (const key of [...history.keys()]) {
    history.ok(history.invoke('the end', key, { kind: 'read' }, atMs), lists.get(key) ?? [], atMs)
  }
  return [...wrong, ...notLinearizable(history, listOf)]
}
