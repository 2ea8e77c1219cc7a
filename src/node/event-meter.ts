/**
 * What a node says of itself, counted: each event by its type, of those that tell of trouble also the last time. The events go on to whom
 * the user named.
 *
 * E1. Every type there is has a count from the start, 0: an alarm on something that never happened yet is none on nothing.
 */
import type { Clock } from '../ports/clock.ts'
import type { Family } from '../ports/families.ts'
import type { HoldfastEvent, Observer } from '../ports/observer.ts'

type EventType = HoldfastEvent['type']

/** `trouble`: somebody may have to do something about it, if it goes on or comes often. */
const kinds: Readonly<Record<EventType, 'trouble' | 'news'>> = {
  'node.started': 'news',
  'node.fenced': 'trouble',
  'node.failed': 'trouble',
  'node.closed': 'news',
  'node.crashed': 'trouble',
  'member.joined': 'news',
  'member.suspected': 'trouble',
  'member.trusted': 'news',
  'member.died': 'trouble',
  'member.left': 'news',
  'placement.elected': 'news',
  'placement.deposed': 'news',
  'placement.assigned': 'news',
  'placement.moving': 'news',
  'placement.standbys': 'news',
  'partition.replaying': 'news',
  'partition.replayed': 'news',
  'partition.standing-by': 'news',
  'partition.claimed': 'news',
  'partition.serving': 'news',
  'partition.handed-off': 'news',
  'partition.fenced': 'trouble',
  'partition.trouble': 'trouble',
  'partition.recovered': 'news',
  'partition.stopped': 'trouble',
  'partition.void-record': 'trouble',
  'partition.hash-mismatch': 'trouble',
  'store.failed': 'trouble',
  'store.set-aside': 'trouble',
  'store.outdated': 'news',
  'store.discarded': 'news',
  'log.provisioned': 'news',
  'log.reseeded': 'trouble',
  'log.trimmed': 'news',
  'snapshot.cut': 'news',
  'snapshot.failed': 'trouble',
  'snapshot.faulty': 'trouble',
  'snapshot.restoring': 'news',
  'snapshot.restored': 'news',
  'snapshot.collected': 'news',
  'task.serving': 'news',
  'task.failed': 'trouble',
  'task.stopped': 'trouble',
  'task.trouble': 'trouble',
  'task.gap': 'trouble',
  'output.refused': 'trouble',
  'watch.cut-off': 'trouble',
  'watch.resumed': 'news',
  'message.dropped': 'trouble',
  'handler.threw': 'trouble',
  'transport.connected': 'news',
  'transport.disconnected': 'trouble',
  'transport.error': 'trouble',
  'door.trouble': 'trouble',
  'environment.unknown': 'trouble',
}

const types = Object.keys(kinds) as readonly EventType[]

export class EventMeter implements Observer {
  readonly #next: Observer
  readonly #clock: Pick<Clock, 'now'>
  readonly #counts = new Map<EventType, number>(types.map((type) => [type, 0]))
  /** Of those that are trouble, Unix seconds; 0: never. */
  readonly #lastAt = new Map<EventType, number>(
    types.filter((type) => kinds[type] === 'trouble').map((type) => [type, 0]),
  )
  #replays = { seconds: 0, records: 0, bytes: 0 }

  constructor(next: Observer, clock: Pick<Clock, 'now'>) {
    this.#next = next
    this.#clock = clock
  }

  emit(event: HoldfastEvent): void {
    const { type } = event
    this.#counts.set(type, (this.#counts.get(type) ?? 0) + 1)
    if (kinds[type] === 'trouble') this.#lastAt.set(type, this.#clock.now() / 1_000)
    if (event.type === 'partition.replayed') {
      const { seconds, records, bytes } = this.#replays
      this.#replays = {
        seconds: seconds + event.ms / 1_000,
        records: records + event.records,
        bytes: bytes + event.bytes,
      }
    }
    this.#next.emit(event)
  }

  families(): readonly Family[] {
    const { seconds, records, bytes } = this.#replays
    const counter = (name: string, help: string, value: number): Family => ({
      kind: 'counter',
      name,
      help,
      series: [{ labels: {}, value }],
    })
    return [
      {
        kind: 'counter',
        name: 'holdfast_events_total',
        help: 'What the node had to say of itself, by type',
        series: byEvent(this.#counts),
      },
      {
        kind: 'gauge',
        name: 'holdfast_last_trouble_timestamp_seconds',
        help: 'When an event of this type was last told, Unix time; 0 for never',
        series: byEvent(this.#lastAt),
      },
      counter('holdfast_replay_seconds_total', 'Time spent on reading logs into stores', seconds),
      counter('holdfast_replayed_records_total', 'Records read from logs into stores', records),
      counter('holdfast_replayed_bytes_total', 'Bytes of records read from logs into stores', bytes),
    ]
  }
}

const byEvent = (values: ReadonlyMap<EventType, number>) =>
  [...values].map(([event, value]) => ({ labels: { event }, value }))
