/**
 * A plain watcher, as a process: a subscription of the official NATS client to every counter's changes.
 *
 *   node .bench/bench/watcher.js <servers> <subject>
 *
 * S1. The revs of a key come as 1, 2, 3…: one that was seen is a repetition, which the subject allows, and is not counted. One that
 *     skips is a loss, and told.
 */
import { once } from 'node:events'
import { connect } from '@nats-io/transport-node'
import { tellParent } from '../examples/support/parent.ts'

export type WatcherMessage =
  | { readonly kind: 'ready' }
  /** As many changes as were asked for, or more, have been seen since the start. */
  | { readonly kind: 'seen'; readonly changes: number }
  | { readonly kind: 'loss'; readonly subject: string; readonly rev: number; readonly last: number }

/** From the parent: tell when so many have been seen. */
export interface WatcherRequest {
  readonly changes: number
}

const tell = (message: WatcherMessage) => tellParent(message)
const released = once(process, 'disconnect')
const revs = new Map<string, number>()
let changes = 0
let asked = Number.POSITIVE_INFINITY

function look(): void {
  if (changes < asked) return
  asked = Number.POSITIVE_INFINITY
  tell({ kind: 'seen', changes })
}

process.on('message', (request: WatcherRequest) => {
  asked = request.changes
  look()
})

const [servers, subject] = process.argv.slice(2) as [string, string]
const nc = await connect({ servers: servers.split(','), noAsyncTraces: true })
nc.subscribe(subject, {
  callback(error, message) {
    if (error !== null) throw error
    const rev = Number(message.headers?.get('Hf-Rev'))
    const last = revs.get(message.subject) ?? 0
    if (rev <= last) return
    if (rev !== last + 1) tell({ kind: 'loss', subject: message.subject, rev, last })
    revs.set(message.subject, rev)
    changes++
    look()
  },
})
await nc.flush()
tell({ kind: 'ready' })
await released
await nc.close()
