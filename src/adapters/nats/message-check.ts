/**
 * What may go on the wire. A malformed subject, queue name or header would be read by the server as another message, and a
 * line of the protocol that is too long ends the connection.
 */
import type { Headers } from '../../ports/transport.ts'
import { HoldfastError } from '../../protocol/errors.ts'

/** A line of the protocol holds at most 4,096 bytes, in it a subject, a reply subject and numbers. */
const maxSubjectBytes = 1_024
const maxQueueLength = 128

const dot = 0x2e
const star = 0x2a
const more = 0x3e

/** Most subjects are of these characters alone. */
const usual = /^[\w=-]+(?:\.[\w=-]+)*$/

export function isWellFormedSubject(subject: string, wildcards: boolean): boolean {
  let start = 0
  let bytes = 0
  const { length } = subject
  if (length > maxSubjectBytes) return false
  if (usual.test(subject)) return true
  for (let i = 0; ; i++) {
    const code = i < length ? subject.charCodeAt(i) : dot
    if (code <= 0x20 || code === 0x7f) return false
    bytes += code < 0x80 ? 1 : 3
    if (code !== dot) continue
    if (i === start) return false
    if (i === start + 1) {
      const only = subject.charCodeAt(start)
      if (only === star && !wildcards) return false
      if (only === more && (!wildcards || i < length)) return false
    }
    if (i >= length) return bytes <= maxSubjectBytes + 1
    start = i + 1
  }
}

/** A subject to publish to. */
export function checkSubject(subject: string, what: 'subject' | 'reply subject'): void {
  if (isWellFormedSubject(subject, false)) return
  throw invalid(
    `${shown(subject)} is not a ${what}: write tokens joined by ".", without spaces and wildcards, at most ${maxSubjectBytes} bytes`,
  )
}

/** A subject to subscribe to. */
export function checkPattern(pattern: string): void {
  if (isWellFormedSubject(pattern, true)) return
  throw invalid(
    `${shown(pattern)} is not a subject to subscribe to: write tokens joined by ".", without spaces, at most ${maxSubjectBytes} bytes; a token may be "*", the last one ">"`,
  )
}

export function checkQueue(queue: string): void {
  if (queue.length <= maxQueueLength && isWellFormedSubject(queue, true)) return
  throw invalid(
    `${shown(queue)} is not the name of a queue group: use 1 to ${maxQueueLength} characters without spaces`,
  )
}

const headerName = /^[!-9;-~]+$/
const unsendable = /[\r\n]|^\s|\s$/
/** The last names that were good: most messages have the same. */
const goodNames = new Set<string>()
const mostGoodNames = 64

export function checkHeaders(headers: Headers): void {
  for (const name in headers) {
    if (!Object.hasOwn(headers, name)) continue
    if (!goodNames.has(name)) {
      if (!headerName.test(name)) {
        throw invalid(`${shown(name)} is not the name of a header: use printable ASCII without space and ":"`)
      }
      if (goodNames.size >= mostGoodNames) goodNames.clear()
      goodNames.add(name)
    }
    if (unsendable.test(headers[name]!)) {
      throw invalid(`the value of header ${name} has a line break or an outer space, which would not arrive: encode it`)
    }
  }
}

const shown = (text: string) => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)

const invalid = (message: string) => new HoldfastError('INVALID', message)
