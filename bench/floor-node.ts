/**
 * A node that does nothing: it answers every request of every frame at once with 1, as a process. No key, no handler, no log, no state. What a
 * client gets of it is the most that any node could give it here.
 *
 *   node .bench/bench/floor-node.js <server>
 */
import { once } from 'node:events'
import { tellParent } from '../examples/support/parent.ts'
import { openNatsTransport } from '../src/adapters/nats/open.ts'
import { SystemClock } from '../src/adapters/system/clock.ts'
import { SystemRandom } from '../src/adapters/system/random.ts'
import { encodeView } from '../src/core/table.ts'
import { silent } from '../src/ports/observer.ts'
import { decodeRequestFrame, encodeReplyFrame } from '../src/protocol/frames.ts'
import type { NodeId } from '../src/protocol/ids.ts'
import { subjectsOf } from '../src/protocol/subjects.ts'
import { encodeValue } from '../src/protocol/values.ts'
import { partitions } from './bench-node.ts'
import { clusterName } from './stage.ts'

export interface FloorMessage {
  readonly kind: 'ready'
}

const released = once(process, 'disconnect')
const parts = { clock: new SystemClock(), random: new SystemRandom(), observer: silent }
const transport = await openNatsTransport({ servers: process.argv[2]! }, parts)
const subjects = subjectsOf(clusterName)
const self = 'floor' as NodeId
const view = encodeView({ version: 1, owners: new Array(partitions).fill(self) })
const one = encodeValue(1)

transport.subscribe(subjects.placementGet, ({ reply }) => transport.publish(reply!, view))
transport.subscribe(subjects.nodeFrame(self), ({ data, reply }) => {
  const { session, requests } = decodeRequestFrame(data)
  const replies = requests.map(({ number }) => ({ number, kind: 'value', value: one }) as const)
  transport.publish(reply!, encodeReplyFrame({ session, replies }))
})
await transport.flush()
tellParent({ kind: 'ready' } satisfies FloorMessage)
await released
await transport.close()
