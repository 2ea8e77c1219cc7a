/**
 * Ports that look on: they pass everything through as it is, and tell what they saw to the fingerprint of the run and to the steps of the
 * node. What runs between them is what ships.
 *
 * T1. A tap changes no answer and no order of calls.
 * T2. What is delivered to a node, and each record that it appends, goes into the fingerprint with its time.
 */
import type { Changelog, PartitionLog } from '../../ports/changelog.ts'
import type { Clock } from '../../ports/clock.ts'
import type { CasResult, Registry } from '../../ports/registry.ts'
import type { Store, Stores } from '../../ports/store.ts'
import type { Message, Transport } from '../../ports/transport.ts'
import { decodeRequestFrame, type RequestFrame } from '../../protocol/frames.ts'
import { decodeRecord } from '../../protocol/record.ts'
import type { Fingerprint } from './fingerprint.ts'
import type { Step, Steps } from './steps.ts'

export interface TapOptions {
  /** Of the world. */
  readonly clock: Clock & { readonly fired: number }
  readonly fingerprint: Fingerprint
  readonly cluster: string
}

export interface NodeTapOptions extends TapOptions {
  readonly node: string
  readonly steps: Steps
}

/** T2 */
function note({ clock, fingerprint }: TapOptions, what: string, bytes: Uint8Array): void {
  fingerprint.number(clock.monotonic())
  fingerprint.number(clock.fired)
  fingerprint.text(what)
  fingerprint.bytes(bytes)
}

/** Of a node or a client. `seen` is told of each message before it is handled, `sent` of each that is published. */
export function tapTransport(
  inner: Transport,
  options: TapOptions,
  {
    seen,
    sent,
  }: { readonly seen?: (message: Message) => void; readonly sent?: (subject: string, reply?: string) => void } = {},
): Transport {
  return {
    get maxPayload() {
      return inner.maxPayload
    },
    get connected() {
      return inner.connected
    },
    get lost() {
      return inner.lost
    },
    publish(subject, data, publishOptions) {
      sent?.(subject, publishOptions?.reply)
      inner.publish(subject, data, publishOptions)
    },
    subscribe(subject, handler, subscribeOptions) {
      const tapped = (message: Message) => {
        note(options, message.subject, message.data)
        seen?.(message)
        handler(message)
      }
      return inner.subscribe(subject, tapped, subscribeOptions)
    },
    flush: () => inner.flush(),
    inbox: () => inner.inbox(),
    onStatus: (listener) => inner.onStatus(listener),
    close: () => inner.close(),
  }
}

/** Frames, orders and requests of watchers that a node has not answered yet. */
export function tapNodeTransport(inner: Transport, options: NodeTapOptions): Transport {
  const { steps, cluster, node } = options
  /** By the subject where the answer goes, or comes from. */
  const open = new Map<string, () => void>()
  const begin = (step: Step, subject: string) => {
    open.get(subject)?.()
    open.set(subject, steps.begin(step))
  }
  const end = (subject: string) => {
    open.get(subject)?.()
    open.delete(subject)
  }
  const numbers = new Map<string, Set<number>>()
  const watches = `${cluster}.watch.`
  const frames = [`${cluster}.p.`, `${cluster}.node.${node}.frame`]
  return tapTransport(inner, options, {
    seen({ subject, data, reply }) {
      end(subject)
      if (reply === undefined) return
      if (subject.startsWith(watches)) begin('paging a watch', reply)
      else if (frames.some((prefix) => subject.startsWith(prefix)) && isRepeated(numbers, data)) {
        begin('repeated request', reply)
      }
    },
    sent(subject, reply) {
      end(subject)
      if (reply !== undefined && subject.endsWith('.control')) begin('asking for a hand-off', reply)
    },
  })
}

/** Whether one of a frame's requests came here before. What is no frame repeats nothing. */
function isRepeated(numbers: Map<string, Set<number>>, data: Uint8Array): boolean {
  let frame: RequestFrame
  try {
    frame = decodeRequestFrame(data)
  } catch {
    return false
  }
  const { session, low, requests } = frame
  let known = numbers.get(session)
  if (known === undefined) numbers.set(session, (known = new Set()))
  const repeated = requests.some(({ number }) => known.has(number))
  for (const number of known) if (number < low) known.delete(number)
  for (const { number } of requests) known.add(number)
  return repeated
}

const nothing = new Uint8Array(0)
const appendStep = { genesis: 'appending', claim: 'claiming', commit: 'appending', handoff: 'handing off' } as const

export function tapChangelog(inner: Changelog, options: NodeTapOptions): Changelog {
  const { steps, node } = options
  return {
    provision: (partition, generation, genesis, first) => inner.provision(partition, generation, genesis, first),
    log(partition): PartitionLog {
      const log = inner.log(partition)
      return {
        info: (known) => log.info(known),
        append(record, expected) {
          note(options, `${node} appends to ${partition} behind ${expected}`, record)
          return steps.during(appendStep[decodeRecord(record).kind], log.append(record, expected))
        },
        async *read(from, to) {
          const end = steps.begin('replaying')
          try {
            yield* log.read(from, to)
          } finally {
            end()
          }
        },
        follow: (from) => log.follow(from),
        trim(first) {
          note(options, `${node} trims ${partition} to ${first}`, nothing)
          return log.trim(first)
        },
      }
    },
    close: () => inner.close(),
  }
}

export function tapRegistry(inner: Registry, { steps, node }: NodeTapOptions): Registry {
  const during = (key: string, write: Promise<CasResult>) => {
    const step = stepOf(key, node)
    return step === undefined ? write : steps.during(step, write)
  }
  return {
    get: (key) => inner.get(key),
    list: (prefix) => inner.list(prefix),
    create: (key, value) => during(key, inner.create(key, value)),
    update: (key, value, revision) => during(key, inner.update(key, value, revision)),
    delete: (key, revision) => inner.delete(key, revision),
    watch: (prefix, listener) => inner.watch(prefix, listener),
    close: () => inner.close(),
  }
}

function stepOf(key: string, node: string): Step | undefined {
  if (key === 'table') return 'changing the table'
  if (key === 'leader') return 'electing'
  if (!key.startsWith('lease.')) return undefined
  return key === `lease.${node}` ? 'renewing a lease' : 'declaring a death'
}

export function tapStores(inner: Stores, { steps }: NodeTapOptions): Stores {
  return {
    async open(partition) {
      const store = await steps.during('opening a store', inner.open(partition))
      return tapStore(store, steps)
    },
    setAside: (partition, reason) => inner.setAside(partition, reason),
    discard: (partition) => inner.discard(partition),
    discardAside: (path) => inner.discardAside(path),
    close: () => inner.close(),
  }
}

const tapStore = (inner: Store, steps: Steps): Store => ({
  getMany: (keys) => inner.getMany(keys),
  write: (batch) => steps.during('writing to a store', inner.write(batch)),
  range: (gte, lt) => inner.range(gte, lt),
  view: (range) => inner.view(range),
  close: () => inner.close(),
})
