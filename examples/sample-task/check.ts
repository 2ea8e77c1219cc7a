/** Compares what came out with what went in. Every difference is a sentence; none is right. */
import type { Emitted, Item } from './sample.ts'

/** Each item has to have come out once, the items of a key in their order, the n-th of a key with the rev n. */
export function differences(items: readonly Item[], emitted: readonly Emitted[]): readonly string[] {
  const [want, got] = [byKey(expectedOf(items)), byKey(emitted)]
  return [...new Set([...want.keys(), ...got.keys()])].flatMap((key) => {
    const [wanted, given] = [want.get(key) ?? [], got.get(key) ?? []]
    const found: string[] = []
    for (let i = 0; i < Math.max(wanted.length, given.length); i++) {
      if (wanted[i] !== given[i])
        found.push(`${key}: output ${i + 1} is ${given[i] ?? 'missing'}, not ${wanted[i] ?? 'expected'}`)
    }
    return found
  })
}

/** The last value of each key, and how many the key had. */
export function lastOf(items: readonly Item[]): ReadonlyMap<string, Emitted> {
  return new Map(expectedOf(items).map((item) => [item.key, item]))
}

function expectedOf(items: readonly Item[]): readonly Emitted[] {
  const revs = new Map<string, number>()
  return items.map(({ key, value }) => {
    const rev = (revs.get(key) ?? 0) + 1
    revs.set(key, rev)
    return { key, value, rev }
  })
}

function byKey(items: readonly Emitted[]): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>()
  for (const { key, value, rev } of items) {
    const texts = found.get(key) ?? []
    found.set(key, texts)
    texts.push(`value ${value} of rev ${rev}`)
  }
  return found
}
