/**
 * Subjects: every name under which a cluster speaks, and the tokens that carry types and keys in them.
 *
 * J1. `encodeToken` is injective: two different texts never share a token. A byte outside `[A-Za-z0-9_-]` is written `=XX`
 *     (upper-case hex); a token that would be longer than 128 bytes is `=h` and the sha256 of the UTF-8 bytes (64 lower-case
 *     hex digits). No escape begins with `h`, so the two forms never meet.
 * J2. A token holds no `.`, `*`, `>`, `$`, space or control character, and is never empty.
 * J3. Each text has one token: an escape of a plain byte, or in lower case, is `INVALID` and not a second spelling, because
 *     the partition is computed from the token.
 * J4. Where a token is a hash, the text itself travels in the header `Hf-Type` or `Hf-Key`: escaped as in J1 at any length,
 *     because a header cannot hold line breaks or outer spaces. It counts only if its hash is the token.
 * J5. Types and keys are non-empty, well-formed Unicode, and at most 512 bytes of UTF-8. Names of commands and queries are
 *     tokens, too, but never hashed: at most 128 bytes when encoded.
 */
import { createHash } from 'node:crypto'
import { HoldfastError } from './errors.ts'
import { isClusterName, type NodeId, type PartitionId } from './ids.ts'

/** Headers of messages; each name as written. */
export const headerNames = {
  /** Rev of the change, decimal. */
  rev: 'Hf-Rev',
  /** Cursor of the change, or of an answer, as text. */
  cursor: 'Hf-Cursor',
  /** Escaped key, where its token is a hash (J4). */
  key: 'Hf-Key',
  /** Escaped type, where its token is a hash (J4). */
  type: 'Hf-Type',
  /** Repeatable id of a call of a plain NATS client (R2). */
  id: 'Hf-Id',
  /** Patience of a plain NATS client, in ms. */
  timeout: 'Hf-Timeout',
  /** Escaped idempotency key of a call of a plain NATS client. */
  idempotencyKey: 'Hf-Idempotency-Key',
  /** Of a query of a plain NATS client: how old the state may be, in ms; of the answer: how old it is at most. */
  maxStaleness: 'Hf-Max-Staleness',
  age: 'Hf-Age',
  /** Of a query of a plain NATS client: the cursor that it is to be answered after. */
  after: 'Hf-After',
  /** Of a request frame: the traces of its requests (protocol/traces.ts). */
  traces: 'Hf-Traces',
  /** Of a call of a plain NATS client: the W3C traceparent that it belongs to. */
  traceparent: 'traceparent',
} as const

/** Most UTF-8 bytes of a type or a key. */
export const maxNameBytes = 512

/** Most bytes of a token that is not a hash. */
export const maxTokenBytes = 128

export const callKinds = ['call', 'tell', 'query'] as const
export type CallKind = (typeof callKinds)[number]

/** What a `call`, `tell` or `query` subject asks for. */
export interface CallTarget {
  readonly kind: CallKind
  readonly type: string
  readonly key: string
  readonly name: string
}

const plain = /^[A-Za-z0-9_-]+$/
const token = /^(?:[A-Za-z0-9_-]|=[0-9A-F]{2})+$/
const hash = /^=h[0-9a-f]{64}$/
const loneSurrogate = /\p{Surrogate}/u

/** Throws `INVALID` unless `text` can be a type or a key (J5). `what` names it in the message. */
export function checkName(text: string, what: 'type' | 'key'): void {
  if (text.length === 0) throw invalid(`a ${what} is never empty: give it at least one character`)
  if (text.length * 3 > maxNameBytes && Buffer.byteLength(text) > maxNameBytes) {
    throw invalid(`this ${what} has ${Buffer.byteLength(text)} bytes of UTF-8: use at most ${maxNameBytes}`)
  }
  if (!plain.test(text) && loneSurrogate.test(text)) {
    throw invalid(`this ${what} is not well-formed Unicode: remove its lone surrogates`)
  }
}

/** The token of a text (J1). The text must have passed `checkName`. */
export function encodeToken(text: string): string {
  if (text.length <= maxTokenBytes && plain.test(text)) return text
  const escaped = escapeText(text)
  return escaped.length <= maxTokenBytes ? escaped : hashToken(text)
}

/** The text of a token, or `null` where the token is a hash. Throws `INVALID` for what no text has as its token (J3). */
export function decodeToken(encoded: string): string | null {
  if (encoded.length <= maxTokenBytes) {
    if (plain.test(encoded)) return encoded
    if (hash.test(encoded)) return null
    return unescapeText(encoded)
  }
  throw invalid(`a subject token has at most ${maxTokenBytes} bytes: send the hash of a longer one, and it in a header`)
}

/** Any text in the alphabet of J1, however long: for headers (J4). */
export function escapeText(text: string): string {
  if (plain.test(text)) return text
  let escaped = ''
  for (const byte of Buffer.from(text)) escaped += escapes[byte]
  return escaped
}

/** Undoes `escapeText`. Throws `INVALID` for anything that it cannot have written. */
export function unescapeText(escaped: string): string {
  if (plain.test(escaped)) return escaped
  if (!token.test(escaped)) throw badToken(escaped)
  const bytes: number[] = []
  for (let i = 0; i < escaped.length; i++) {
    if (escaped[i] === '=') {
      const byte = Number.parseInt(escaped.slice(i + 1, i + 3), 16)
      if (escapes[byte]!.length === 1) throw badToken(escaped)
      bytes.push(byte)
      i += 2
    } else bytes.push(escaped.charCodeAt(i))
  }
  try {
    return utf8.decode(Uint8Array.from(bytes))
  } catch (cause) {
    throw badToken(escaped, cause)
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const escapes = Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte)
  return plain.test(character) ? character : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`
})

const hashToken = (text: string) => `=h${createHash('sha256').update(text, 'utf8').digest('hex')}`

/** Whether a text that is not too long is its own token. */
export const isPlain = (text: string): boolean => plain.test(text)

const isHashed = (text: string) => !(text.length <= maxTokenBytes && isPlain(text)) && hash.test(encodeToken(text))

/** The headers that the tokens of a type and a key need (J4); `undefined` where they need none. */
export function nameHeaders(type: string, key: string): Record<string, string> | undefined {
  const typeHashed = isHashed(type)
  const keyHashed = isHashed(key)
  if (!typeHashed && !keyHashed) return undefined
  return {
    ...(typeHashed ? { [headerNames.type]: escapeText(type) } : {}),
    ...(keyHashed ? { [headerNames.key]: escapeText(key) } : {}),
  }
}

/** The text of a token of a type or key, by its header where the token is a hash. Throws `INVALID`. */
export function resolveName(encoded: string, header: string | undefined, what: 'type' | 'key'): string {
  let text = decodeToken(encoded)
  if (text === null) {
    const name = headerNames[what]
    if (header === undefined)
      throw invalid(`the ${what} of this subject is a hash: send the ${what} in the header ${name}`)
    if (header.length > maxNameBytes * 3) throw invalid(`the header ${name} is too long for a ${what}`)
    text = unescapeText(header)
    if (hashToken(text) !== encoded || escapeText(text).length <= maxTokenBytes) {
      throw invalid(`the header ${name} is not the ${what} whose hash the subject holds: send the escaped ${what}`)
    }
  }
  checkName(text, what)
  return text
}

/** Longer subjects are no inboxes, and a server may refuse them. */
const maxInboxLength = 256

/** Tokens that are not empty, without wildcards, spaces or control characters. */
const publishable = /^(?:[^.*>\s\p{Cc}]+\.)*[^.*>\s\p{Cc}]+$/u

/** Whether a node may answer there: something that can be published to, under one of the inbox prefixes (given without their dot). */
export const isInbox = (subject: string, prefixes: readonly string[]): boolean =>
  subject.length <= maxInboxLength &&
  prefixes.some((prefix) => subject.startsWith(`${prefix}.`)) &&
  publishable.test(subject)

/** Prefixes of inboxes that nodes answer where nothing else is said: everybody's, and what the roles of a cluster have below. */
export const defaultInboxPrefixes = (cluster: string): readonly string[] => ['_INBOX', `_INBOX_${cluster}`]

/** The subjects of a cluster. Throws `INVALID` if `cluster` is not a cluster name. */
export function subjectsOf(cluster: string): Subjects {
  if (!isClusterName(cluster)) {
    throw invalid(`"${cluster}" is not a name for a cluster: use 1 to 32 of a-z, 0-9 and "-"`)
  }
  const c = cluster
  let lastType = ''
  let lastPrefix = ''
  const prefixes = callKinds.map((kind) => [`${c}.${kind}.`, kind] as const)
  const call = (kind: CallKind, type: string, key: string, name: string) => {
    checkName(type, 'type')
    checkName(key, 'key')
    return `${c}.${kind}.${encodeToken(type)}.${encodeToken(key)}.${nameToken(name)}`
  }
  return {
    cluster,
    call,
    allCalls: (kind) => `${c}.${kind}.*.*.*`,
    parseCall(subject, headers) {
      const found = prefixes.find(([prefix]) => subject.startsWith(prefix))
      const parts = found === undefined ? [] : subject.slice(found[0].length).split('.')
      if (found === undefined || parts.length !== 3) {
        throw invalid(`"${subject}" is not a subject of a call: use ${c}.call.<type>.<key>.<command>`)
      }
      const [type, key, name] = parts as [string, string, string]
      const decoded = decodeToken(name)
      if (decoded === null) throw invalid('the name of a command or query is never hashed: use a shorter one')
      return {
        kind: found[1],
        type: resolveName(type, headers?.[headerNames.type], 'type'),
        key: resolveName(key, headers?.[headerNames.key], 'key'),
        name: decoded,
      }
    },
    watch: (partition) => `${c}.watch.${partition}`,
    scan: (partition) => `${c}.scan.${partition}`,
    position: (partition) => `${c}.position.${partition}`,
    list: (type) => `${c}.list.${encodeToken(type)}`,
    allLists: `${c}.list.*`,
    changes(type, key) {
      // Most are of the type that the last one was of.
      if (type !== lastType) {
        lastPrefix = `${c}.changes.${encodeToken(type)}.`
        lastType = type
      }
      return lastPrefix + encodeToken(key)
    },
    changesOf: (type) => `${c}.changes.${encodeToken(type)}.*`,
    allChanges: `${c}.changes.*.*`,
    partition: (partition) => `${c}.p.${partition}`,
    nodeFrame: (node) => `${c}.node.${node}.frame`,
    nodeControl: (node) => `${c}.node.${node}.control`,
    gossip: (node) => `${c}.gossip.${node}`,
    presence: (node) => `${c}.presence.${node}`,
    log: (partition) => `${c}.log.${partition}`,
    placement: `${c}.placement`,
    placementGet: `${c}.placement.get`,
    placementReport: `${c}.placement.report`,
    placementOrder: `${c}.placement.order`,
    status: `${c}.status`,
  }
}

export interface Subjects {
  readonly cluster: string
  /** Throws `INVALID` for a type, key or name that no subject can hold (J5). Send `nameHeaders(type, key)` along. */
  call(kind: CallKind, type: string, key: string, name: string): string
  /** All calls, tells or queries of the cluster. */
  allCalls(kind: CallKind): string
  /** What an incoming call asks for; hashed tokens are resolved by the headers (J4). Throws `INVALID`. */
  parseCall(subject: string, headers?: Readonly<Record<string, string>>): CallTarget
  /** Requests for a replay of changes. */
  watch(partition: PartitionId): string
  /** Scans of a partition's actors in the order of their keys. */
  scan(partition: PartitionId): string
  /** Request of a standby for the position that the owner has committed; its queue group is `owner`. */
  position(partition: PartitionId): string
  /** Request for a page of a type's entries in JSON; any node, queue group `gateway`. */
  list(type: string): string
  readonly allLists: string
  /** Committed changes of one keyed actor. */
  changes(type: string, key: string): string
  /** Committed changes of all actors of a type. */
  changesOf(type: string): string
  readonly allChanges: string
  /** Frames to the owner of a partition; its queue group is `owner`. */
  partition(partition: PartitionId): string
  /** Frames to one node. */
  nodeFrame(node: NodeId): string
  /** Control requests to one node. */
  nodeControl(node: NodeId): string
  gossip(node: NodeId): string
  /** Where a node listens, and says nothing: who asks hears from the server when nobody does. */
  presence(node: NodeId): string
  /** Changelog of a partition. */
  log(partition: PartitionId): string
  /** Broadcast of the placement view when it changes. */
  readonly placement: string
  /** Request for the placement view; any node, queue group `gateway`. */
  readonly placementGet: string
  /** What owners tell the leader of placement. */
  readonly placementReport: string
  /** What an operator orders and asks of the leader of placement; queue group `leader`. */
  readonly placementOrder: string
  /** Request for a report on the cluster; any node, queue group `gateway`. */
  readonly status: string
}

function nameToken(name: string): string {
  if (name.length === 0) throw invalid('the name of a command or query is never empty')
  if (!plain.test(name) && loneSurrogate.test(name)) {
    throw invalid('the name of this command or query is not well-formed Unicode: remove its lone surrogates')
  }
  const escaped = escapeText(name)
  if (escaped.length > maxTokenBytes) {
    throw invalid(`the name of a command or query has at most ${maxTokenBytes} bytes in a subject: use a shorter one`)
  }
  return escaped
}

const invalid = (message: string, cause?: unknown) => new HoldfastError('INVALID', message, { cause })

const badToken = (encoded: string, cause?: unknown) =>
  invalid(
    `"${encoded.slice(0, 40)}" is not a subject token: write each byte outside A-Z a-z 0-9 _ - as = and two upper-case hex digits`,
    cause,
  )
