/**
 * An embedded node and its client, as one process without a server, which runs the commands itself and tells the figure.
 *
 *   node .bench/bench/embedded.js <dataDir> <rounds> <seconds> <keys>
 */
import { once } from 'node:events'
import { tellParent } from '../examples/support/parent.ts'
import { connect, createNode } from '../src/index.ts'
import { CounterLoad } from './counter-load.ts'
import { Counter } from './counter.ts'
import { Ledger } from './ledger.ts'
import { isTrouble } from './node-troubles.ts'
import { rate, type Measured } from './rounds.ts'

export type EmbeddedMessage =
  { readonly kind: 'measured'; readonly figure: Measured } | { readonly kind: 'trouble'; readonly event: string }

const tell = (message: EmbeddedMessage) => tellParent(message)
const released = once(process, 'disconnect')
const [dataDir, rounds, seconds, keys] = process.argv.slice(2) as [string, string, string, string]
const node = await createNode({
  embedded: true,
  dataDir,
  actors: [Counter],
  observer: {
    emit(event) {
      if (isTrouble(event)) tell({ kind: 'trouble', event: JSON.stringify(event) })
    },
  },
})
const client = await connect({ embedded: node.embedded! })
const load = new CounterLoad(client, new Ledger(Number(keys)))
const plan = { rounds: Number(rounds), seconds: Number(seconds) }
tell({ kind: 'measured', figure: await rate(plan, { width: 1_024, once: load.add, verify: load.verify }) })

await released
await client.close()
await node.close()
