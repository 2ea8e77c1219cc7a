/**
 * A watcher as any NATS client in any language could be one: it knows nothing of Holdfast but its subjects and their JSON.
 *
 *   node --import tsx examples/flights/watcher.ts <servers> <cluster>
 *
 * `<cluster>.changes.*.*` brings each committed change; what it misses it asks for at `<cluster>.watch.<partition>` (see follower.ts): at
 * a gap, after a lost connection, and at its end.
 */
import { once } from 'node:events'
import { connect } from '@nats-io/transport-node'
import { Follower } from './follower.ts'
import { countPartitions, pullPage, type PlainChange } from './plain-nats.ts'
import { tellParent } from '../support/parent.ts'
import type { WatchReport } from './watch-report.ts'

export type WatcherMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'taken'; readonly taken: number }
  | { readonly kind: 'report'; readonly report: WatchReport }

const tellEveryMs = 200

const released = once(process, 'disconnect')
const tell = (message: WatcherMessage) => tellParent(message)
const [servers, cluster] = process.argv.slice(2) as [string, string]
const nc = await connect({ servers, maxReconnectAttempts: -1 })
const partitions = await countPartitions(nc, cluster)
const follower = new Follower((partition, from) => pullPage(nc, cluster, partition, from))
const replayAll = () => Promise.all(Array.from({ length: partitions }, (_, partition) => follower.replay(partition)))

nc.subscribe(`${cluster}.changes.*.*`, {
  callback(error, message) {
    if (error === null) follower.onChange(message.json<PlainChange>())
    else follower.fault(`the subscription failed: ${error.message}`)
  },
})
// The server knows of the subscription once it has answered.
await nc.flush()
// Not when it is back: what comes first then must not hide what was lost before.
void (async () => {
  for await (const { type } of nc.status()) if (type === 'disconnect') void replayAll()
})()
process.once('message', () => {
  void replayAll().then(() => tell({ kind: 'report', report: follower.report }))
})
const telling = setInterval(() => tell({ kind: 'taken', taken: follower.report.taken }), tellEveryMs)
tell({ kind: 'ready' })

await released
clearInterval(telling)
await nc.close()
