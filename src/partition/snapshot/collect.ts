/**
 * Deleting what no snapshot needs any more: older snapshots, and what cuts that failed or died have left.
 *
 * L1. The objects are listed first, then the pointer is confirmed by a write: an object that was listed is of a cut that was registered before
 *     that. So what is of no kept snapshot and not of the registered cut by then is of none that can ever be kept (D2, D3 of pointer.ts).
 * L2. Of each snapshot the manifest goes first: none names chunks that are gone.
 * L3. It may stop anywhere, and be run by several at once: what is left is found again.
 */
import type { Objects } from '../../ports/objects.ts'
import type { Observer } from '../../ports/observer.ts'
import type { Registry } from '../../ports/registry.ts'
import type { PartitionId } from '../../protocol/ids.ts'
import { isManifest, snapshotOf, snapshotPrefix } from './manifest.ts'
import { confirmPointer } from './pointer.ts'

export interface CollectOptions {
  readonly partition: PartitionId
  readonly objects: Objects
  readonly registry: Registry
  readonly observer: Observer
  readonly signal?: AbortSignal
}

/** Objects deleted at a time. */
const atOnce = 4

/** Deletes, and gives the number of objects. Throws `RETRY` or `UNKNOWN` where it could not go on: the rest is for the next time. */
export async function collectSnapshots({
  partition,
  objects,
  registry,
  observer,
  signal,
}: CollectOptions): Promise<number> {
  // L1
  const listed = await objects.list(snapshotPrefix(partition))
  const { kept, cutting } = await confirmPointer(registry, partition)
  const needed = new Set([...kept.map(({ id }) => id), cutting])
  const superfluous = listed
    .map(({ name }) => name)
    .filter((name) => {
      const id = snapshotOf(name)
      return id !== undefined && !needed.has(id)
    })
  await deleteObjects(objects, superfluous, signal)
  await objects.sweep()
  if (superfluous.length > 0) observer.emit({ type: 'snapshot.collected', partition, objects: superfluous.length })
  return superfluous.length
}

/** L2 */
export async function deleteObjects(objects: Objects, names: readonly string[], signal?: AbortSignal): Promise<void> {
  const inOrder = [...names.filter(isManifest), null, ...names.filter((name) => !isManifest(name))]
  for (let at = 0; at < inOrder.length;) {
    signal?.throwIfAborted()
    const some: string[] = []
    for (let name; some.length < atOnce && (name = inOrder[at++]);) some.push(name)
    await Promise.all(some.map((name) => objects.delete(name)))
  }
}
