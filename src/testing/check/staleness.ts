/**
 * Checks reads that may be stale, of lists that only grow: what each one saw is a length of its list as it is at the end.
 *
 * S1. A read saw the beginning of the list, and nothing that was asked for after the read had ended.
 * S2. It saw every append that had been acknowledged to anybody before the moment that its age goes back to.
 * S3. A client sees no less than it saw, or was told, before it asked: by reads, stale or strong, and by the replies to its appends.
 * S4. No answer is older than was allowed, but for the time that the call has taken.
 */
import type { Operation } from './history.ts'
import type { ListInput, ListOutput } from './list.ts'

export interface StaleRead {
  readonly client: string
  readonly key: string
  readonly askedMs: number
  readonly heardMs: number
  /** What was allowed, and what was measured. */
  readonly maxStalenessMs: number
  readonly ageMs: number
  readonly ids: readonly string[]
}

/** What a client had seen of a list at some time. */
interface Sight {
  readonly atMs: number
  readonly length: number
}

export interface StaleReadsOptions {
  readonly reads: readonly StaleRead[]
  /** The operations on a list, those of all clients. */
  readonly operationsOf: (key: string) => readonly Operation<ListInput, ListOutput>[]
  /** The client that an operation is of. */
  readonly clientOf: (operation: Operation<ListInput, ListOutput>) => string
  readonly lists: ReadonlyMap<string, readonly string[]>
}

/** Ages are whole milliseconds of several clocks. */
const roundingMs = 2

/** A sentence for each thing that is wrong. */
export function wrongStaleReads(options: StaleReadsOptions): readonly string[] {
  const keys = new Set(options.reads.map(({ key }) => key))
  return [...keys].flatMap((key) => wrongOf(key, options))
}

function wrongOf(key: string, { reads, operationsOf, clientOf, lists }: StaleReadsOptions): readonly string[] {
  const wrong: string[] = []
  const list = lists.get(key) ?? []
  const placeOf = new Map(list.map((id, i) => [id, i + 1]))
  const acknowledged: Sight[] = []
  const askedMs = new Map<string, number>()
  const seen = new Map<string, Sight[]>()
  const sees = (client: string, sight: Sight) => {
    const sights = seen.get(client)
    if (sights === undefined) seen.set(client, [sight])
    else sights.push(sight)
  }
  for (const operation of operationsOf(key)) {
    const { input, outcome } = operation
    if (input.kind === 'append') askedMs.set(input.id, operation.invokedMs)
    if (outcome.kind !== 'ok') continue
    const { output, returnedMs: atMs } = outcome
    const length = typeof output === 'number' ? output : output.length
    if (input.kind === 'append') acknowledged.push({ atMs, length: placeOf.get(input.id) ?? 0 })
    sees(clientOf(operation), { atMs, length })
  }
  const ofKey = reads.filter((read) => read.key === key)
  for (const { client, heardMs: atMs, ids } of ofKey) sees(client, { atMs, length: ids.length })
  for (const read of ofKey) {
    const { ids, heardMs, ageMs, maxStalenessMs } = read
    const what = `${read.client} read ${ids.length} of ${key} at ${heardMs.toFixed(1)}, ${ageMs} ms old`
    if (ids.some((id, i) => list[i] !== id)) wrong.push(`${what}: that was never its beginning (S1)`)
    if (ids.some((id) => (askedMs.get(id) ?? 0) > heardMs)) wrong.push(`${what}: it is of later (S1)`)
    const fromMs = heardMs - ageMs - roundingMs
    const least = longest(acknowledged, (sight) => sight.atMs < fromMs)
    if (ids.length < least) wrong.push(`${what}: ${least} were there ${(heardMs - fromMs).toFixed(1)} ms before (S2)`)
    const own = longest(seen.get(read.client) ?? [], (sight) => sight.atMs < read.askedMs)
    if (ids.length < own) wrong.push(`${what}: it had seen ${own} (S3)`)
    if (ageMs > maxStalenessMs + (heardMs - read.askedMs) + roundingMs) {
      wrong.push(`${what}: ${maxStalenessMs} ms were allowed (S4)`)
    }
  }
  return wrong
}

const longest = (sights: readonly Sight[], which: (sight: Sight) => boolean): number =>
  sights.reduce((most, sight) => (which(sight) ? Math.max(most, sight.length) : most), 0)
