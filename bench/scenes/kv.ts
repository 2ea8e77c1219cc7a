/** A key-value store over the public client: puts of values, and the whole store read in the order of its keys. */
import type { Kv } from '../../src/index.ts'
import { keyName, Ledger } from '../ledger.ts'
import { rate } from '../rounds.ts'
import type { Scene } from '../scene.ts'
import { pidsOf, startCluster } from '../stage.ts'

/** In flight where nothing is measured. */
const width = 1_024

/** 100 bytes, as msgpack: two before the text. */
export const value = 'x'.repeat(98)

export const kv: Scene = {
  name: 'kv',
  figures: {
    'kv.put.w256': { unit: '/s', what: '256 puts of 100 bytes in flight; ratio: to nats.kv.put.w256' },
    'kv.range': { unit: '/s', what: 'rows of the whole store, read in order by one reader' },
  },
  async run(bench) {
    const cluster = await startCluster(bench)
    const store = cluster.client.kv<string>('bench')
    const ledger = new Ledger(bench.keys)
    const put = async (key: number) => {
      await store.put(keyName(key), value)
      ledger.wrote(key)
    }
    const verify = () => ledger.verify(width, async (key) => (await store.entry(key))?.rev ?? 0)
    const pids = pidsOf(cluster)
    if (bench.wants('kv.put.w256')) {
      const figure = await rate(bench, { width: 256, once: () => put(ledger.pick()), verify, pids })
      const other = bench.value('nats.kv.put.w256')
      bench.report('kv.put.w256', other === undefined ? figure : { ...figure, ratio: figure.value / other })
    }
    if (bench.wants('kv.range')) {
      await ledger.each(width, put)
      const once = () => readAll(store, bench.keys)
      bench.report('kv.range', await rate(bench, { width: 1, once, operations: bench.keys, verify, pids }))
    }
  },
}

/** Throws unless there are so many rows, each of a key behind the last. */
async function readAll(store: Kv<string>, keys: number): Promise<void> {
  let rows = 0
  let last = ''
  for await (const { key } of store.range()) {
    if (key <= last) throw new Error(`${key} came after ${last}`)
    last = key
    rows++
  }
  if (rows !== keys) throw new Error(`the range has ${rows} rows of ${keys}`)
}
