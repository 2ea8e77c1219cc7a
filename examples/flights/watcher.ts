/**
 * A watcher as any NATS client in any language could be one: it knows nothing of Holdfast but its subjects and their JSON.
 *
 *   node --import tsx examples/flights/watcher.ts <servers> <cluster>
 *
 * W1. `<cluster>.changes.*.*` brings each committed change. One whose rev was seen is ignored: a new owner repeats some.
 * W2. One that comes too early, since one before it was lost, is dropped, and its partition is replayed from the last cursor before which
 *     nothing is missing. So is every partition after a lost connection, and at the end.
 * W3. A replay is pulled in pages from `<cluster>.watch.<n>`. The partition `n` is the first part of each cursor.
 */
import { once } from 'node:events'
import type { Msg } from '@nats-io/nats-core'
import { connect } from '@nats-io/transport-node'
import { Ledger } from './ledger.ts'
import { countPartitions, pullPage, type PlainChange } from './plain-nats.ts'
import type { WatchReport } from './watch-report.ts'

export type WatcherMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'taken'; readonly taken: number }
  | { readonly kind: 'report'; readonly report: WatchReport }

const tellEveryMs = 200

const released = once(process, 'disconnect')
const [servers, cluster] = process.argv.slice(2) as [string, string]
const nc = await connect({ servers, maxReconnectAttempts: -1 })
const partitions = Array.from({ length: await countPartitions(nc, cluster) }, (_, partition) => partition)

const ledger = new Ledger()
const faults: string[] = []
let repeated = 0
let replays = 0
/** Nothing is missing before these cursors. */
const cursors = new Map<number, string>()
const doubtful = new Set<number>()
const replaying = new Map<number, Promise<void>>()

function onChange(message: Msg): void {
  const change = message.json<PlainChange>()
  const partition = Number.parseInt(change.cursor, 10)
  const how = ledger.take(change)
  if (how === 'repeated') repeated++
  else if (how === 'gap') {
    replays++
    void replay(partition)
  } else if (!replaying.has(partition)) cursors.set(partition, change.cursor)
}

/** Never rejects. */
function replay(partition: number): Promise<void> {
  doubtful.add(partition)
  const running =
    replaying.get(partition) ??
    pullAll(partition)
      .catch((error: unknown) => void faults.push(`partition ${partition} cannot be replayed: ${String(error)}`))
      .finally(() => replaying.delete(partition))
  replaying.set(partition, running)
  return running
}

/** Up to the head, and again if another change was dropped meanwhile. */
async function pullAll(partition: number): Promise<void> {
  while (doubtful.delete(partition)) {
    for (let more = true; more;) {
      const page = await pullPage(nc, cluster, partition, cursors.get(partition) ?? 'start')
      for (const change of page.changes) {
        if (ledger.take(change) === 'gap') {
          faults.push(`${change.type}/${change.key}: after rev ${ledger.lastRev(change)} a replay gave rev ${change.rev}`)
        }
      }
      cursors.set(partition, page.next)
      more = page.more
    }
  }
}

async function replayAfterReconnects(): Promise<void> {
  for await (const { type } of nc.status()) {
    if (type !== 'reconnect') continue
    for (const partition of partitions) void replay(partition)
  }
}

const tell = (message: WatcherMessage) => {
  if (process.connected) process.send?.(message)
}

nc.subscribe(`${cluster}.changes.*.*`, {
  callback: (error, message) => (error === null ? onChange(message) : void faults.push(String(error))),
})
await nc.flush()
void replayAfterReconnects()
const telling = setInterval(() => tell({ kind: 'taken', taken: ledger.taken }), tellEveryMs)
process.once('message', () => {
  void Promise.all(partitions.map(replay)).then(() =>
    tell({ kind: 'report', report: { taken: ledger.taken, repeated, replays, faults, totals: ledger.totals } }),
  )
})
tell({ kind: 'ready' })

await released
clearInterval(telling)
await nc.close()
