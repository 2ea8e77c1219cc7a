/**
 * Key-value stores: `kv()` names one and its values' type, and here is what its entries do.
 *
 * A store `users` is the actor type `kv-users`, and each of its entries a keyed actor whose state is the value. So an entry has all that
 * a keyed actor has: one owner, a rev, changes on a subject, replies that are durable. No node has to know the store beforehand.
 *
 * V1. Any value may be put, null too; it is there or it is not, and `entry` tells which.
 * V2. A put makes a new rev, also of an equal value. A delete of what is not there changes nothing.
 * V3. An entry that has expired is not there: for commands and queries alike, whether it has been removed yet or not.
 */
import { durationMs, longestDurationMs, type Duration } from '../protocol/duration.ts'
import { HoldfastError } from '../protocol/errors.ts'
import { optionsOf } from '../protocol/options.ts'
import { checkName, encodeToken, maxTokenBytes } from '../protocol/subjects.ts'
import { requireRev } from './kv-checks.ts'
import type { ActorDefinition, CommandContext, CommandHandler, EntryInfo, QueryHandler } from './definition.ts'

/** Types that begin so are stores. */
export const kvPrefix = 'kv-'

declare const shape: unique symbol

/** A store as `kv()` defines it. `V` is the type of its values, for the type checker only. */
export interface KvDefinition<V = unknown> {
  readonly kind: 'kv'
  readonly name: string
  /** The actor type of its entries. */
  readonly type: string
  /** After so long an entry expires that was put without a term of its own, ms. `undefined`: never. */
  readonly ttlMs: number | undefined
  readonly [shape]?: V
}

export interface KvOptions {
  /** How long an entry lives that is put without a `ttl` of its own. Default: until it is deleted. */
  readonly ttl?: Duration
}

/**
 * Defines a key-value store. `name` is 1 to 125 of `A-Z a-z 0-9 _ -`; other characters count three for each byte of UTF-8.
 *
 * ```ts
 * const users = kv<User>('users', { ttl: '30d' })
 * await hf.kv(users).put('u1', { name: 'Ada' })
 * ```
 *
 * Throws `INVALID` for a name or a term that cannot be.
 */
export function kv<V = unknown>(name: string, options: KvOptions = {}): KvDefinition<V> {
  const type = kvType(name)
  const { ttl } = optionsOf(options, 'kv()')
  const ttlMs = ttl === undefined ? undefined : ttlOf(ttl, `the ttl of the store "${name}"`)
  return Object.freeze({ kind: 'kv', name, type, ttlMs })
}

/** The actor type of a store's entries. Throws `INVALID`. */
export function kvType(name: string): string {
  if (typeof name !== 'string' || name.length === 0) throw invalid('the name of a store is a text: kv("users")')
  // A lone surrogate would be written as another character, and two stores be one.
  checkName(kvPrefix + name, 'type')
  const token = encodeToken(kvPrefix + name)
  // The subjects of a store are to be written by hand.
  if (token.startsWith('=h')) {
    throw invalid(`this name of a store is too long: use up to ${maxTokenBytes - kvPrefix.length} of A-Z a-z 0-9 _ -`)
  }
  return kvPrefix + name
}

/** Milliseconds of a term: at least 1. Throws `INVALID`; `what` names it there. */
export function ttlOf(ttl: Duration, what: string): number {
  const ms = Math.ceil(durationMs(ttl, what))
  if (ms < 1) throw invalid(`${what} is from 1 ms to 100 years`)
  return ms
}

/** What the runtime gives an entry's command, besides what every command has. */
export interface EntryContext extends CommandContext {
  /** Whether there is an entry. */
  readonly exists: boolean
  /** Puts a value, with the time at which it expires, ms of partition time, or null. */
  put(value: unknown, expiresAt: number | null): void
}

function put(ctx: EntryContext, input: unknown): number {
  const { value, ttlMs } = putInput(input)
  ctx.put(value, ttlMs === null ? null : ctx.now() + ttlMs)
  return ctx.rev + 1
}

const commands: Readonly<Record<string, (ctx: EntryContext, input: unknown) => unknown>> = {
  put,
  putIfAbsent: (ctx, input) => (ctx.exists ? (putInput(input), null) : put(ctx, input)),
  update(ctx, input) {
    requireRev(ctx.key, ctx, revOf(fieldsOf(input).rev, 'update'))
    return put(ctx, input)
  },
  delete(ctx, input) {
    const rev = input === null ? undefined : fieldsOf(input).rev
    if (rev != null) requireRev(ctx.key, ctx, revOf(rev, 'delete'))
    if (ctx.exists) ctx.destroy()
    return ctx.exists
  },
}

const queries: Readonly<Record<string, (value: unknown, input: unknown, info: EntryInfo) => unknown>> = {
  get: (value, _, { exists }) => (exists ? value : null),
  entry: (value, _, { exists, rev, expiresAt }) => (exists ? { value, rev, expiresAt } : null),
}

/** What every store's entries do. Its `type` is of no account: the runtime takes it for all types of stores. */
export const entryDefinition: ActorDefinition = Object.freeze({
  kind: 'actor',
  type: kvPrefix,
  version: 1,
  initialState: () => null,
  // The runtime gives them the fuller context.
  commands: Object.freeze(Object.assign(Object.create(null), commands) as Record<string, CommandHandler>),
  queries: Object.freeze(Object.assign(Object.create(null), queries) as Record<string, QueryHandler>),
  inputs: Object.freeze({}),
})

function putInput(input: unknown): { readonly value: unknown; readonly ttlMs: number | null } {
  const { value, ttlMs = null } = fieldsOf(input)
  if (value === undefined) throw invalid('a put needs a value: {"value": …}')
  if (
    ttlMs !== null &&
    (typeof ttlMs !== 'number' || !Number.isSafeInteger(ttlMs) || ttlMs < 1 || ttlMs > longestDurationMs)
  )
    throw invalid('ttlMs is a whole number of milliseconds from 1 to 100 years')
  return { value, ttlMs }
}

function fieldsOf(input: unknown): Readonly<Record<string, unknown>> {
  if (
    typeof input !== 'object' ||
    input === null ||
    Array.isArray(input) ||
    input instanceof Uint8Array ||
    input instanceof Date
  )
    throw invalid('the input of this command of a store is an object: {"value": …}')
  return input as Readonly<Record<string, unknown>>
}

function revOf(rev: unknown, command: string): number {
  if (typeof rev === 'number' && Number.isSafeInteger(rev) && rev >= 0) return rev
  throw invalid(`${command} needs the rev that the entry is to have: {"rev": 3, …}`)
}

const invalid = (message: string) => new HoldfastError('INVALID', message)
