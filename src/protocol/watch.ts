/**
 * Pages of changes: how a watcher pulls a partition's changes from its owner (`<cluster>.watch.<n>`), as JSON.
 *
 * The owner sends the changes of a page to the asker's inbox, each as it was published, then one end. Or one error, and no page.
 *
 * G1. `from` is exclusive: a page holds changes after it. `next` of the end is where the next page goes on, past everything that this one
 *     looked at, also what did not match.
 * G2. `count` is the number of changes that were sent for this page. Who received fewer has lost some and asks again from where it was.
 * G3. Both sides distrust what they read: anything else than what is described here is `INVALID`.
 * G4. A page `from: 'state'` holds, instead of changes, what is there now of a type: each keyed actor as one change that is marked
 *     `reset`, all as of one record, in the order of their keys; of one key that one alone, there or not. Where an end names a `snapshot`
 *     there are more of them: asked for by that name behind the key `after`. `next` is right behind the record, on all of these pages.
 * G5. A cursor that the log does not go back to, or of another generation of the log, is `EXPIRED`: never a page that begins later.
 */
import { HoldfastError, errorCodes, type ErrorCode } from './errors.ts'
import { parseCursor } from './cursor.ts'
import { parseJsonText } from './json-text.ts'
import { checkName, maxNameBytes } from './subjects.ts'

/** Most changes in one page, and the default. */
export const maxPageChanges = 1_000
/** A page ends with the change that passes this. */
export const maxPageBytes = 512 * 1_024

export interface WatchRequest {
  /** A cursor's text, or one end of the log, or what is there now (G4). */
  readonly from: 'start' | 'now' | 'state' | (string & {})
  /** Only changes of this type; and of this key, or of keys that begin so, if one of these is given, too. */
  readonly type?: string
  readonly key?: string
  /** Not empty. */
  readonly prefix?: string
  /** 1 … `maxPageChanges`. */
  readonly limit?: number
  /** With `state`: goes on with these states, behind this key (G4). */
  readonly snapshot?: string
  readonly after?: string
  /** With `snapshot`: no more of them is wanted. The answer is an end. */
  readonly done?: true
}

export interface PageEnd {
  readonly kind: 'end'
  /** Cursor to go on from. */
  readonly next: string
  /** Cursor of the last committed change, as far as the owner was when it sent this. */
  readonly head: string
  /** There is more after `next` already. */
  readonly more: boolean
  readonly count: number
  /** There are more states (G4). */
  readonly snapshot?: string
  readonly after?: string
}

export interface PageError {
  readonly kind: 'error'
  readonly code: ErrorCode
  readonly message: string
}

export interface PageChange {
  readonly kind: 'change'
  readonly type: string
  readonly key: string
  readonly rev: number
  /** JSON form of the state; `null` where it is null, or `deleted` or `omitted`. */
  readonly state: unknown
  readonly deleted: boolean
  /** What is there now, instead of changes that are not kept any more (G4). */
  readonly reset: boolean
  /** The state's JSON was too large for a message, or too heavy for its reader, and was left out. */
  readonly omitted: boolean
  readonly cursor: string
  /** Partition time, ms. */
  readonly at: number
}

export type PageMessage = PageChange | PageEnd | PageError

export const encodeWatchRequest = (request: WatchRequest): Uint8Array => Buffer.from(JSON.stringify(request))

/** Throws `INVALID`. */
export function decodeWatchRequest(bytes: Uint8Array): WatchRequest {
  const { from, type, key, prefix, limit, snapshot, after, done } = objectOf(bytes)
  if (from !== 'start' && from !== 'now' && from !== 'state') parseCursor(text(from, 'from'))
  if (type !== undefined) checkName(text(type, 'type'), 'type')
  else if (from === 'state') throw invalid('"state" without a "type"')
  for (const [name, value] of Object.entries({ key, prefix })) {
    if (value === undefined) continue
    checkName(text(value, name), 'key')
    if (type === undefined) throw invalid(`a "${name}" without its "type"`)
  }
  if (key !== undefined && prefix !== undefined) throw invalid('a "key" and a "prefix"')
  if (limit !== undefined && (natural(limit, 'limit') < 1 || Number(limit) > maxPageChanges)) {
    throw invalid(`"limit" is not within 1 and ${maxPageChanges}`)
  }
  if (snapshot !== undefined) checkContinuation(from, snapshot)
  else if (after !== undefined || done !== undefined) throw invalid('an "after" or "done" without its "snapshot"')
  if (after !== undefined) checkName(text(after, 'after'), 'key')
  if (done !== undefined && done !== true) throw invalid('a "done" that is not true')
  return { from, type, key, prefix, limit, snapshot, after, done } as WatchRequest
}

function checkContinuation(from: unknown, snapshot: unknown): void {
  if (from !== 'state') throw invalid('a "snapshot", which goes with "state" alone')
  if (text(snapshot, 'snapshot').length > maxNameBytes) throw invalid('a "snapshot" that is too long')
}

export const encodePageEnd = ({ next, head, more, count, snapshot, after }: Omit<PageEnd, 'kind'>): Uint8Array =>
  Buffer.from(JSON.stringify({ end: true, next, head, more, count, snapshot, after }))

export const encodePageError = (code: ErrorCode, message: string): Uint8Array =>
  Buffer.from(JSON.stringify({ error: { code, message } }))

/** Throws `INVALID`. Cursors are taken as texts; `parseCursor` reads them. */
export function decodePageMessage(bytes: Uint8Array): PageMessage {
  const message = objectOf(bytes)
  if (message.end === true) {
    return {
      kind: 'end',
      next: text(message.next, 'next'),
      head: text(message.head, 'head'),
      more: message.more === true,
      count: natural(message.count, 'count'),
      ...(message.snapshot === undefined ? {} : { snapshot: text(message.snapshot, 'snapshot') }),
      ...(message.after === undefined ? {} : { after: text(message.after, 'after') }),
    }
  }
  if (message.error !== undefined) {
    const { code, message: sentence } = (message.error ?? {}) as Record<string, unknown>
    if (!(errorCodes as readonly unknown[]).includes(code)) throw invalid('a bad error code')
    return { kind: 'error', code: code as ErrorCode, message: text(sentence, 'error') }
  }
  return {
    kind: 'change',
    type: text(message.type, 'type'),
    key: text(message.key, 'key'),
    rev: natural(message.rev, 'rev'),
    state: message.state ?? null,
    deleted: message.deleted === true,
    reset: message.reset === true,
    omitted: message.omitted === true,
    cursor: text(message.cursor, 'cursor'),
    at: finite(message.at, 'at'),
  }
}

function objectOf(bytes: Uint8Array): Record<string, unknown> {
  let parsed: unknown
  try {
    parsed = parseJsonText(bytes)
  } catch (cause) {
    throw invalid('no JSON', cause)
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw invalid('no object')
  return parsed as Record<string, unknown>
}

function text(value: unknown, name: string): string {
  if (typeof value !== 'string') throw invalid(`no text in "${name}"`)
  return value
}

function finite(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw invalid(`no number in "${name}"`)
  return value
}

function natural(value: unknown, name: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw invalid(`no whole number in "${name}"`)
  return value as number
}

const invalid = (what: string, cause?: unknown) =>
  new HoldfastError('INVALID', `this is not a message of a watch: it has ${what}`, { cause })
