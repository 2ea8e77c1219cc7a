/**
 * Answers requests on `echo` with what they brought, as a process.
 *
 *   node .bench/bench/echo.js <servers>
 */
import { once } from 'node:events'
import { connect } from '@nats-io/transport-node'
import { tellParent } from '../examples/support/parent.ts'

export interface EchoMessage {
  readonly kind: 'ready'
}

const released = once(process, 'disconnect')
const nc = await connect({ servers: process.argv[2]!.split(','), noAsyncTraces: true })
nc.subscribe('echo', { callback: (error, message) => void (error === null && message.respond(message.data)) })
await nc.flush()
tellParent({ kind: 'ready' } satisfies EchoMessage)
await released
await nc.close()
