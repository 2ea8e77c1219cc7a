/**
 * What a node has to say about itself, as lines: for people those events that somebody may have to know, for programs each as JSON.
 */
import type { HoldfastEvent, Observer } from '../ports/observer.ts'
import { messageOf } from '../protocol/errors.ts'
import type { Mark, Output } from './output.ts'

/** `trouble`: only what went wrong. */
export type Detail = 'all' | 'notable' | 'trouble'

export function eventLines(output: Output, detail: Detail): Observer {
  return {
    emit(event) {
      const mark = markOf(event)
      if (detail === 'trouble' && mark === 'ok') return
      if (detail !== 'all' && mark === undefined) return
      output.result(printable(event), () => `${event.type}  ${restOf(event)}`.trimEnd())
    },
  }
}

/** `undefined`: of interest only to who looks closely. */
function markOf(event: HoldfastEvent): Mark | undefined {
  switch (event.type) {
    case 'node.fenced':
    case 'node.failed':
    case 'node.crashed':
    case 'partition.stopped':
    case 'task.stopped':
    case 'task.gap':
    case 'partition.hash-mismatch':
    case 'store.failed':
    case 'store.set-aside':
    case 'handler.threw':
      return 'fail'
    case 'member.suspected':
    case 'member.died':
    case 'partition.trouble':
    case 'log.reseeded':
    case 'task.failed':
    case 'task.trouble':
    case 'output.refused':
    case 'snapshot.failed':
    case 'snapshot.faulty':
    case 'partition.void-record':
    case 'transport.disconnected':
    case 'transport.error':
    case 'door.trouble':
    case 'environment.unknown':
      return 'warn'
    case 'node.started':
    case 'node.closed':
    case 'member.joined':
    case 'member.trusted':
    case 'member.left':
    case 'placement.elected':
    case 'placement.deposed':
    case 'placement.moving':
    case 'store.outdated':
    case 'store.discarded':
    case 'partition.serving':
    case 'partition.standing-by':
    case 'task.serving':
    case 'partition.replaying':
    case 'partition.recovered':
    case 'snapshot.restoring':
    case 'snapshot.restored':
    case 'transport.connected':
      return 'ok'
    default:
      return undefined
  }
}

/** An error in JSON is an empty object. */
const printable = (event: HoldfastEvent): object =>
  'error' in event ? { ...event, error: messageOf(event.error) } : event

function restOf(event: HoldfastEvent): string {
  const fields = Object.entries(printable(event)).filter(([name, value]) => name !== 'type' && value != null)
  return fields.map(([name, value]) => `${name}=${String(value)}`).join(' ')
}
