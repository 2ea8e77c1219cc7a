import { messageOf } from '../protocol/errors.ts'
import type { Epoch, Generation, NodeId, PartitionId, Seq } from '../protocol/ids.ts'

/**
 * Everything that Holdfast has to say about itself, as one tagged union: logs, metrics and the
 * console are its consumers. Emitting is synchronous, cheap, and never throws into the emitter.
 */
export interface Observer {
  emit(event: HoldfastEvent): void
}

export type HoldfastEvent =
  // node
  | { readonly type: 'node.started'; readonly node: NodeId; readonly incarnation: string }
  | { readonly type: 'node.fenced'; readonly node: NodeId; readonly reason: string }
  /** It cannot begin, or begin again after its lease was lost, and no retry mends that: it closes itself. */
  | { readonly type: 'node.failed'; readonly node: NodeId; readonly error: unknown }
  | { readonly type: 'node.closed'; readonly node: NodeId }
  | { readonly type: 'node.crashed'; readonly node: NodeId }
  // members
  | { readonly type: 'member.joined'; readonly node: NodeId; readonly by: NodeId }
  | { readonly type: 'member.suspected'; readonly node: NodeId; readonly by: NodeId; readonly phi: number }
  | { readonly type: 'member.trusted'; readonly node: NodeId; readonly by: NodeId }
  | { readonly type: 'member.died'; readonly node: NodeId; readonly by: NodeId }
  | { readonly type: 'member.left'; readonly node: NodeId; readonly by: NodeId }
  // placement
  | { readonly type: 'placement.elected'; readonly node: NodeId }
  | { readonly type: 'placement.deposed'; readonly node: NodeId; readonly reason: string }
  | {
      readonly type: 'placement.assigned'
      readonly partition: PartitionId
      readonly owner: NodeId
      readonly epoch: Epoch
    }
  | { readonly type: 'placement.standbys'; readonly partition: PartitionId; readonly standbys: readonly NodeId[] }
  | { readonly type: 'placement.moving'; readonly partition: PartitionId; readonly from: NodeId; readonly to: NodeId }
  // partitions
  /** At most once in a second; the record `at` of those up to `to` has been taken in, and the rest takes about `leftMs`. */
  | {
      readonly type: 'partition.replaying'
      readonly partition: PartitionId
      readonly at: Seq
      readonly to: Seq
      readonly leftMs: number
    }
  | {
      readonly type: 'partition.replayed'
      readonly partition: PartitionId
      readonly from: Seq
      readonly to: Seq
      readonly records: number
      readonly bytes: number
      /** How long that took. */
      readonly ms: number
    }
  | { readonly type: 'partition.claimed'; readonly partition: PartitionId; readonly epoch: Epoch; readonly seq: Seq }
  /** As a standby it has been at the log's end, and follows it. */
  | { readonly type: 'partition.standing-by'; readonly partition: PartitionId; readonly seq: Seq }
  | { readonly type: 'partition.serving'; readonly partition: PartitionId; readonly epoch: Epoch }
  | { readonly type: 'partition.handed-off'; readonly partition: PartitionId; readonly epoch: Epoch }
  | {
      readonly type: 'partition.fenced'
      readonly partition: PartitionId
      readonly epoch: Epoch
      readonly by: Epoch | null
    }
  | { readonly type: 'partition.trouble'; readonly partition: PartitionId; readonly reason: string }
  | {
      readonly type: 'partition.recovered'
      readonly partition: PartitionId
      readonly committed: number
      readonly appendedAgain: number
    }
  | { readonly type: 'partition.stopped'; readonly partition: PartitionId; readonly reason: string }
  | { readonly type: 'partition.void-record'; readonly partition: PartitionId; readonly seq: Seq }
  | {
      readonly type: 'partition.hash-mismatch'
      readonly partition: PartitionId
      readonly seq: Seq
      readonly expected: string
      readonly actual: string
      /** The same after the store was built anew: it was the writer's hash that was wrong. */
      readonly rebuilt: boolean
    }
  | { readonly type: 'store.failed'; readonly partition: PartitionId; readonly reason: string }
  | {
      readonly type: 'store.set-aside'
      readonly partition: PartitionId
      readonly reason: string
      readonly path: string | null
    }
  /** The log was trimmed behind what it has: nothing is wrong with it. It is set aside until another one is made of a snapshot, then deleted. */
  | {
      readonly type: 'store.outdated'
      readonly partition: PartitionId
      readonly reason: string
      readonly path: string | null
    }
  /** Deleted: one that was to be made of a snapshot, and was not finished; or one that was outdated, and has a successor. */
  | { readonly type: 'store.discarded'; readonly partition: PartitionId }
  | { readonly type: 'log.provisioned'; readonly partition: PartitionId; readonly generation: Generation }
  /** An operator has seeded a lost log, and this node goes by the new one (L1). */
  | { readonly type: 'log.reseeded'; readonly partition: PartitionId; readonly generation: Generation }
  /** Its records before `first` are gone: they are in snapshots, and watchers were promised no more. */
  | { readonly type: 'log.trimmed'; readonly partition: PartitionId; readonly first: Seq; readonly records: number }
  // snapshots
  | {
      readonly type: 'snapshot.cut'
      readonly partition: PartitionId
      readonly id: string
      readonly seq: Seq
      readonly rows: number
      readonly bytes: number
      readonly stored: number
      readonly tookMs: number
    }
  /** It was not made, and what there was of it is or will be deleted. */
  | {
      readonly type: 'snapshot.failed'
      readonly partition: PartitionId
      readonly id: string
      readonly reason: string
    }
  /** It cannot be used; another one is tried, if there is one. */
  | {
      readonly type: 'snapshot.faulty'
      readonly partition: PartitionId
      readonly id: string
      readonly reason: string
    }
  /** At most once in a second; `bytes` of `totalBytes` of rows are written, `leftMs` is `null` while there is nothing to reckon with. */
  | {
      readonly type: 'snapshot.restoring'
      readonly partition: PartitionId
      readonly id: string
      readonly bytes: number
      readonly totalBytes: number
      readonly leftMs: number | null
    }
  | {
      readonly type: 'snapshot.restored'
      readonly partition: PartitionId
      readonly id: string
      readonly seq: Seq
      readonly rows: number
      readonly bytes: number
      readonly tookMs: number
    }
  /** Objects that no snapshot needs any more were deleted. */
  | { readonly type: 'snapshot.collected'; readonly partition: PartitionId; readonly objects: number }
  // tasks
  | {
      readonly type: 'task.serving'
      readonly task: string
      readonly partition: PartitionId
      readonly seq: number | null
    }
  /** The processing of a message threw; `seq` is its sequence in the stream, `null` in `init` and for a plain subject. */
  | {
      readonly type: 'task.failed'
      readonly task: string
      readonly partition: PartitionId
      readonly seq: number | null
      readonly attempt: number
      readonly skipped: boolean
      readonly reason: string
    }
  /** It takes no messages in this partition any more, until the partition's next owner begins it again. */
  | { readonly type: 'task.stopped'; readonly task: string; readonly partition: PartitionId; readonly reason: string }
  /** Its input cannot be read now, or a message takes very long. */
  | { readonly type: 'task.trouble'; readonly task: string; readonly reason: string }
  /** The stream does not keep these sequences any more, and this partition may not have processed what it had there. */
  | {
      readonly type: 'task.gap'
      readonly task: string
      readonly partition: PartitionId
      readonly from: number
      readonly to: number
    }
  /** A stream has not taken an output; it is sent again. */
  | {
      readonly type: 'output.refused'
      readonly partition: PartitionId
      readonly subject: string
      readonly reason: string
    }
  // clients
  /**
   * A watch of this client, of all keys (`null`), one, or those that begin so, is not read fast enough: it has stopped listening to what is
   * published, and goes on by pages from `cursor`. When its reader has caught up with its buffer it listens again.
   */
  | ({ readonly type: 'watch.cut-off' } & WatchPlace)
  | ({ readonly type: 'watch.resumed' } & WatchPlace)
  // wire
  | { readonly type: 'message.dropped'; readonly subject: string; readonly reason: DropReason }
  | { readonly type: 'handler.threw'; readonly where: string; readonly error: unknown }
  | { readonly type: 'transport.connected' }
  | { readonly type: 'transport.disconnected' }
  /** What the server refused or said of the connection, as a sentence; `denied`: a permission that this user lacks. */
  | {
      readonly type: 'transport.error'
      readonly reason: string
      readonly denied?: { readonly operation: 'publish' | 'subscribe'; readonly subject: string }
    }
  /** A door of the node (health and metrics, or NATS clients of an embedded cluster) does not take connections now, and goes on trying. */
  | { readonly type: 'door.trouble'; readonly door: 'http' | 'nats'; readonly reason: string }
  /** A variable HOLDFAST_… that means nothing, and the known one that is most like it. */
  | { readonly type: 'environment.unknown'; readonly variable: string; readonly nearest: string }

/** Which watch, and how far it has delivered. */
export interface WatchPlace {
  readonly of: string
  readonly key: string | null
  readonly prefix: string | null
  readonly cursor: string
}

export type DropReason = 'reply-subject' | 'malformed' | 'no-reply' | 'settled' | 'expired' | 'overflow'

/** Says nothing to no one. */
export const silent: Observer = { emit() {} }

/**
 * Stands before an observer that a user gives, which may throw, or reject where it is asynchronous: neither reaches who emits. The process
 * warns of the first time and of no other, since what fails once may fail at each event.
 */
export function guarded(observer: Observer): Observer {
  let warned = false
  const warn = (thrown: unknown, { type }: HoldfastEvent) => {
    if (warned) return
    warned = true
    const told = `the observer threw at the event ${type}: ${messageOf(thrown)}; mend it, since what else it throws is not told`
    process.emitWarning(told, {
      type: 'HoldfastWarning',
      ...(thrown instanceof Error && typeof thrown.stack === 'string' ? { detail: thrown.stack } : {}),
    })
  }
  return {
    emit(event) {
      try {
        const done: unknown = observer.emit(event)
        if (done instanceof Promise) done.catch((error: unknown) => warn(error, event))
      } catch (error) {
        warn(error, event)
      }
    },
  }
}
