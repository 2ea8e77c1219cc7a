/**
 * `task()`: a stream task, after Apache Samza's model: messages come in, are processed one by one against stores of the task's own, and
 * results go out.
 *
 * A cluster runs one instance of a task for each of its partitions, on the node that owns the partition. A message belongs to the
 * partition of its key. What is guaranteed, and what is not, is in docs/tasks.md.
 *
 * B1. A definition is checked where it is written: what is wrong with it throws `INVALID` at once.
 * B2. A definition is frozen; changing the object it was made from changes nothing.
 * B3. A store belongs to one task. Its entries are those of `kv(<store>)`, to be read and watched by clients, and written by the task alone.
 */
import type { Duration } from '../protocol/duration.ts'
import { HoldfastError } from '../protocol/errors.ts'
import { kvType, ttlOf } from './kv.ts'
import type { KvStore } from './kv-store.ts'

/** A message of the input. Each attempt at it gets one of its own, as it came. */
export interface Envelope<V = unknown> {
  readonly subject: string
  /** What the message's partition was found by. */
  readonly key: string
  /** The data in the task's format. Decoded when it is first asked for: what is not of the format throws `INVALID`. */
  readonly value: V
  /** The bytes of this attempt: a copy. */
  readonly data: Uint8Array
  readonly headers: Readonly<Record<string, string>>
  /** Sequence in the stream; `null` for a message of a plain subject. */
  readonly seq: number | null
  /** When the stream took it, ms since 1970; `null` for a message of a plain subject. */
  readonly at: number | null
}

/** A message to be sent once the unit of its input message is committed. */
export interface Output {
  /** Not one that the cluster speaks itself (`<cluster>.call`, `<cluster>.log` …), nor one of `$JS` and `$SYS`. */
  readonly subject: string
  /** A Uint8Array goes out as it is, any other value in its JSON form. */
  readonly value: unknown
  /** Besides `Nats-Msg-Id` and `Nats-Expected-…`, which are made here. */
  readonly headers?: Readonly<Record<string, string>>
  /** The stream that has to store it: it counts as sent when that has acknowledged it. Default: it is a message to whoever listens. */
  readonly stream?: string
}

export interface Collector {
  /** Sends a message if and when the unit of the present message is committed. Throws `INVALID` for what cannot be sent. */
  readonly send: (output: Output) => void
}

export interface Coordinator {
  /** The next message of this partition begins only when this one is committed. */
  readonly commit: () => void
  /** Ends this instance after this message; another one begins with the partition's next owner. */
  readonly shutdown: () => void
}

/**
 * A task's store: names and meanings are those of a client's store, over the entries of one partition.
 *
 * What a message has written, its later reads see at once; all of it is one change of each key that it wrote, so an entry's rev grows by one
 * for a message, however often that put it. Ranges, counts and snapshots wait until all earlier messages of the partition are committed; a
 * snapshot ends with its message. All of it rejects with `INVALID` where its message is over or no message is being processed, with `RETRY` where the partition has
 * been lost meanwhile. A message may write and send what fits into one record; more is `INVALID`.
 */
export type TaskStore<V = unknown> = KvStore<V>

/** What an instance knows of its place. */
export interface TaskContext {
  readonly task: string
  readonly partition: number
  /**
   * A store that the definition names, which reads what this partition has. Throws `INVALID` for any other name. One that `process` was given
   * is for that message. One of `init` can be kept in a field: it is for `init`, and later for the message whose `process` calls it; in a
   * callback that is not awaited, such as a listener that was registered before, it refuses: use the one that `process` was given.
   */
  readonly store: <V = unknown>(name: string) => TaskStore<V>
  /**
   * Partition time, ms since 1970: never goes back, also across owners. Stands still for the length of a message. Throws `INVALID` where the
   * stores refuse: outside of `init` and of messages.
   */
  readonly now: () => number
  /** Aborts when this node's ownership of the partition has ended, so that nothing of the present message can be committed any more. */
  readonly signal: AbortSignal
}

/** What a functional task gets with each message; its functions may be taken out of it. */
export interface ProcessContext extends TaskContext, Collector, Coordinator {}

export interface StreamTask<V = unknown> {
  /** Before the first message of an ownership. What it writes is committed by itself. Where it throws, another instance tries again. */
  init?(context: TaskContext): unknown
  /** One message. When it has returned, or what it returned has resolved, all that it wrote and sent is committed at once, or nothing. */
  process(envelope: Envelope<V>, collector: Collector, coordinator: Coordinator, context: TaskContext): unknown
  /** At the end of the ownership, and after an `init` that failed, of which it gives back what it got; unless the process dies. */
  close?(): unknown
}

export type TaskInput =
  | {
      /** Name of a JetStream stream with limits retention. */
      readonly stream: string
      /** Only messages with such subjects; `*` and `>` as in NATS. Default: all. */
      readonly filter?: string
      /** Where a partition begins that has processed nothing yet: at the first message that is kept, or behind the last. Default `first`. */
      readonly from?: 'first' | 'new'
      readonly subject?: undefined
    }
  | {
      /** A plain subject; `*` and `>` as in NATS. Each message is processed at most once. */
      readonly subject: string
      readonly stream?: undefined
    }

export type TaskFormat = 'json' | 'text' | 'bytes'

interface CommonOptions<V> {
  readonly input: TaskInput
  /** What decides on a message's partition, 1 to 512 bytes of UTF-8. Default: its subject. */
  readonly key?: (message: Omit<Envelope<V>, 'key'>) => string
  /** Default `json`, with bytes, bigints and dates in their JSON forms. */
  readonly format?: TaskFormat
  /** Names of stores of this task's own; or by name with how long an entry lives that is put without a term. Default: none. */
  readonly stores?: readonly string[] | Readonly<Record<string, { readonly ttl?: Duration }>>
  /**
   * What becomes of a message whose processing throws: it is tried again, after pauses from 100 ms to 30 s, and the messages of its
   * partition wait; or it is left out. Either is told to the observer (`task.failed`). Default `retry`.
   */
  readonly onError?: 'retry' | 'skip'
}

export type TaskOptions<V = unknown> = CommonOptions<V> &
  (
    | {
        /** Makes the instance of one partition. */
        readonly run: () => StreamTask<V>
        readonly process?: undefined
      }
    | {
        /** The functional form: one message. */
        readonly process: (envelope: Envelope<V>, context: ProcessContext) => unknown
        readonly run?: undefined
      }
  )

/** A store of a task. */
export interface TaskStoreDefinition {
  readonly name: string
  /** The actor type of its entries. */
  readonly type: string
  readonly ttlMs: number | undefined
}

/** A task as `task()` defines it. */
export interface TaskDefinition {
  readonly kind: 'task'
  readonly name: string
  readonly input: TaskInput
  readonly key: ((message: Omit<Envelope, 'key'>) => string) | undefined
  readonly format: TaskFormat
  readonly stores: readonly TaskStoreDefinition[]
  readonly onError: 'retry' | 'skip'
  readonly run: () => StreamTask
}

/**
 * Defines a stream task for `createNode({ tasks: [...] })`. `name` is 1 to 64 of `A-Z a-z 0-9 _ -`: positions are kept under it.
 *
 * ```ts
 * const totals = task<Order>('totals', {
 *   input: { stream: 'ORDERS' },
 *   key: ({ value }) => value.customer,
 *   stores: ['totals'],
 *   async process({ key, value }, { store, send }) {
 *     const total = ((await store<number>('totals').get(key)) ?? 0) + value.amount
 *     await store<number>('totals').put(key, total)
 *     send({ subject: `totals.${key}`, value: total })
 *   },
 * })
 * ```
 *
 * Throws `INVALID` for what cannot be.
 */
export function task<V = unknown>(name: string, options: TaskOptions<V>): TaskDefinition {
  if (typeof name !== 'string' || !/^[A-Za-z0-9_-]{1,64}$/.test(name)) {
    throw new HoldfastError('INVALID', 'the name of a task is 1 to 64 of A-Z a-z 0-9 _ -: task("totals", …)')
  }
  const wrong = (what: string) => new HoldfastError('INVALID', `task "${name}": ${what}`)
  if (typeof options !== 'object' || options === null) throw wrong('give its options: { input: …, run: … }')
  const { key, format = 'json', onError = 'retry' } = options
  if (key !== undefined && typeof key !== 'function') throw wrong('key is a function of a message')
  if (!(formats as readonly unknown[]).includes(format)) throw wrong(`format is one of ${formats.join(', ')}`)
  if (onError !== 'retry' && onError !== 'skip') throw wrong('onError is retry or skip')
  return Object.freeze({
    kind: 'task',
    name,
    input: inputOf(options.input, wrong),
    key: key as TaskDefinition['key'],
    format,
    stores: Object.freeze(storesOf(options.stores ?? [], wrong)),
    onError,
    run: runOf(options, wrong),
  })
}

const formats = ['json', 'text', 'bytes'] as const satisfies readonly TaskFormat[]

type Wrong = (what: string) => HoldfastError

function inputOf(given: TaskInput, wrong: Wrong): TaskInput {
  if (typeof given !== 'object' || given === null || (given.stream === undefined) === (given.subject === undefined)) {
    throw wrong('input is { stream: "ORDERS" } or { subject: "orders.*" }')
  }
  if (given.subject !== undefined) {
    if (!isPattern(given.subject)) throw wrong(notPattern('input.subject'))
    return Object.freeze({ subject: given.subject })
  }
  const { stream, filter, from = 'first' } = given
  if (typeof stream !== 'string' || !/^[^\s.*>/\\\p{Cc}]{1,255}$/u.test(stream)) {
    throw wrong('input.stream is the name of a stream, without spaces and . * > / \\')
  }
  if (filter !== undefined && !isPattern(filter)) throw wrong(notPattern('input.filter'))
  if (from !== 'first' && from !== 'new') throw wrong('input.from is first or new')
  return Object.freeze({ stream, from, ...(filter === undefined ? {} : { filter }) })
}

const notPattern = (what: string) =>
  `${what} is a subject: tokens joined by ".", without spaces, at most 512 characters; a token may be "*", the last one ">"`

const isPattern = (text: unknown): boolean =>
  typeof text === 'string' &&
  text.length <= 512 &&
  /^(?:(?:\*|[^.*>\s\p{Cc}]+)\.)*(?:\*|>|[^.*>\s\p{Cc}]+)$/u.test(text)

function storesOf(given: NonNullable<TaskOptions['stores']>, wrong: Wrong): readonly TaskStoreDefinition[] {
  if (typeof given !== 'object' || given === null) throw wrong('stores is a list of names: ["totals"]')
  const entries = Array.isArray(given)
    ? (given as readonly string[]).map((name) => [name, {}] as const)
    : Object.entries(given as Readonly<Record<string, { readonly ttl?: Duration }>>)
  const stores = entries.map(([name, settings]) => {
    const ttl = (settings as { readonly ttl?: Duration } | undefined)?.ttl
    const ttlMs = ttl === undefined ? undefined : ttlOf(ttl, `the ttl of the store "${name}"`)
    return Object.freeze({ name, type: kvType(name), ttlMs })
  })
  const twice = stores.find(({ name }, i) => stores.findIndex((store) => store.name === name) !== i)
  if (twice !== undefined) throw wrong(`the store "${twice.name}" is named twice`)
  return stores
}

function runOf<V>(options: TaskOptions<V>, wrong: Wrong): TaskDefinition['run'] {
  const { run, process } = options
  if ((run === undefined) === (process === undefined)) {
    throw wrong('give either run: () => new Totals(), or process: (envelope, context) => …')
  }
  if (run !== undefined) {
    if (typeof run !== 'function') throw wrong('run is a function that makes an instance')
    return run
  }
  if (typeof process !== 'function') throw wrong('process is a function of a message')
  return () => new FunctionTask(process as FunctionTask['handle'])
}

/** The functional form as an instance. */
class FunctionTask implements StreamTask {
  readonly handle: (envelope: Envelope, context: ProcessContext) => unknown

  constructor(handle: FunctionTask['handle']) {
    this.handle = handle
  }

  process(envelope: Envelope, collector: Collector, coordinator: Coordinator, context: TaskContext): unknown {
    return this.handle(envelope, { ...context, ...collector, ...coordinator })
  }
}
