/**
 * A node as a process of its own, as users run one: `createNode`, with RocksDB on disk and a real nats-server. Its standard input and
 * output speak as node-lines.ts says.
 *
 * E1. It ends when its standard input ends: no node outlives the test that started it.
 * E2. Where the order to start asks for it, each append is reported before it is sent and when it is answered, by writes that have happened when they return: whatever ends
 *     the process, the test knows what was on its way.
 * E3. After `close` nothing here keeps the process alive.
 */
import { writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { NatsChangelog } from '../../../src/adapters/nats/changelog.ts'
import { NatsRegistry } from '../../../src/adapters/nats/registry.ts'
import { recordHash } from '../../../src/core/hashing.ts'
import { createNode, isHoldfastError, type HoldfastEvent, type HoldfastNode } from '../../../src/index.ts'
import type { PartitionLog } from '../../../src/ports/changelog.ts'
import type { Registry } from '../../../src/ports/registry.ts'
import type { Subscription } from '../../../src/ports/transport.ts'
import type { PartitionId } from '../../../src/protocol/ids.ts'
import { decodeRecord } from '../../../src/protocol/record.ts'
import { Counter, Ledger } from './ledger.ts'
import type { NodeLine, NodeOrder, SentAppend } from './node-lines.ts'

const say = (line: NodeLine) => void writeSync(1, `${JSON.stringify(line)}\n`)

let tellAppends = false
let freezeAt: ((append: SentAppend) => boolean) | undefined

/** E2 */
const reported = (log: PartitionLog, partition: PartitionId): PartitionLog => ({
  info: (known) => log.info(known),
  read: (from, to) => log.read(from, to),
  follow: (from) => log.follow(from),
  trim: (first) => log.trim(first),
  append(record, expected) {
    const decoded = decodeRecord(record)
    const turns = decoded.kind === 'commit' ? decoded.turns.length : 0
    const hash = Buffer.from(recordHash(record)).toString('hex')
    const { epoch, incarnation, kind } = decoded
    const append: SentAppend = { partition, expected, hash, epoch, incarnation, kind, turns }
    say({ is: 'append', ...append })
    if (freezeAt?.(append) === true) {
      freezeAt = undefined
      say({ is: 'freezing' })
      process.kill(process.pid, 'SIGSTOP')
    }
    return log.append(record, expected).then((result) => {
      say({ is: 'settled', hash, result: result.kind })
      return result
    })
  },
})

// `createNode` opens its own changelog: it is watched from beneath.
const openLog = Reflect.get(NatsChangelog.prototype, 'log') as (
  this: NatsChangelog,
  partition: PartitionId,
) => PartitionLog
NatsChangelog.prototype.log = function (partition) {
  const log = openLog.call(this, partition)
  return tellAppends ? reported(log, partition) : log
}

let deaf = false

const openWatch = Reflect.get(NatsRegistry.prototype, 'watch') as (
  this: NatsRegistry,
  ...args: Parameters<Registry['watch']>
) => Subscription
NatsRegistry.prototype.watch = function (prefix, listener) {
  return openWatch.call(this, prefix, (change) => {
    if (!deaf) listener(change)
  })
}

const observer = { emit: (event: HoldfastEvent) => say({ is: 'event', event: printable(event) }) }

/** An error in JSON is an empty object. */
const printable = (event: HoldfastEvent): HoldfastEvent =>
  event.type === 'handler.threw'
    ? { ...event, error: event.error instanceof Error ? event.error.stack : event.error }
    : event

let node: HoldfastNode | undefined

async function obey(order: NodeOrder): Promise<void> {
  switch (order.do) {
    case 'start':
      tellAppends = order.tellAppends
      node = await createNode({ ...order.options, actors: [Ledger, Counter], observer })
      return say({ is: 'ready' })
    case 'freeze':
      freezeAt = ({ partition, turns }) => turns > 0 && (order.partition ?? partition) === partition
      return
    case 'status':
      if (node !== undefined) say({ is: 'status', status: node.status() })
      return
    case 'deafen':
      deaf = order.deaf
      return
    case 'drain':
      await node?.drain()
      return say({ is: 'drained' })
    case 'close':
      orders.off('close', endNow)
      orders.close()
      process.stdin.destroy()
      await node?.close()
  }
}

/** E1 */
const endNow = () => process.exit(1)
const orders = createInterface({ input: process.stdin })
orders.on('close', endNow)
orders.on('line', (line) => {
  obey(JSON.parse(line) as NodeOrder).catch((error: unknown) => {
    const code = isHoldfastError(error) ? error.code : ''
    say({ is: 'failed', code, message: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  })
})
