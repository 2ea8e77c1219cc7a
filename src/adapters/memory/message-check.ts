/**
 * What may be published and subscribed, checked before it goes anywhere: a malformed subject or header on a real
 * connection would be read as another message.
 */
import type { Headers } from '../../ports/transport.ts'
import { HoldfastError } from '../../protocol/errors.ts'

/** Bytes that a header block takes besides its names and values, as NATS writes it. */
const headerBlock = 'NATS/1.0\r\n\r\n'.length
const headerLine = ': \r\n'.length

/** A subject to publish to: tokens joined by `.`, without space, control characters or wildcard tokens. */
export function checkSubject(subject: string, what = 'subject'): void {
  if (!isWellFormed(subject, false)) {
    throw new HoldfastError(
      'INVALID',
      `${JSON.stringify(subject)} is not a ${what}: write non-empty tokens joined by ".", without spaces, control characters or wildcards`,
    )
  }
}

/** A subject to subscribe to: a token may be `*`, the last one `>`. */
export function checkPattern(pattern: string): void {
  if (!isWellFormed(pattern, true)) {
    throw new HoldfastError(
      'INVALID',
      `${JSON.stringify(pattern)} is not a subject to subscribe to: write non-empty tokens joined by "."; a token may be "*", and only the last one ">"`,
    )
  }
}

export function checkQueue(queue: string): void {
  if (queue === '' || hasBreakingCharacter(queue)) {
    throw new HoldfastError(
      'INVALID',
      `${JSON.stringify(queue)} is not a queue name: it is empty, or has a space or control character`,
    )
  }
}

/** Throws `INVALID` for a header that cannot be written as one line, or for a message above `maxPayload` bytes. */
export function checkPayload(data: Uint8Array, headers: Headers | undefined, maxPayload: number): void {
  const size = data.length + (headers === undefined ? 0 : headerBytes(headers))
  if (size > maxPayload) {
    throw new HoldfastError(
      'INVALID',
      `this message has ${size} bytes with its headers, and the server takes at most ${maxPayload}`,
    )
  }
}

function headerBytes(headers: Headers): number {
  let size = headerBlock
  for (const [name, value] of Object.entries(headers)) {
    if (!/^[!-9;-~]+$/.test(name)) {
      throw new HoldfastError(
        'INVALID',
        `${JSON.stringify(name)} is not a header name: use printable ASCII without space and ":"`,
      )
    }
    if (/[\r\n]/.test(value)) {
      throw new HoldfastError('INVALID', `the value of header ${name} has a line break: encode it`)
    }
    size += headerLine + name.length + Buffer.byteLength(value)
  }
  return size
}

const dot = 0x2e
const star = 0x2a
const more = 0x3e

function isWellFormed(subject: string, wildcards: boolean): boolean {
  let start = 0
  for (let i = 0; ; i++) {
    const code = i < subject.length ? subject.charCodeAt(i) : dot
    if (code <= 0x20 || code === 0x7f) return false
    if (code !== dot) continue
    if (i === start) return false
    if (i === start + 1) {
      const only = subject.charCodeAt(start)
      if (only === star && !wildcards) return false
      if (only === more && (!wildcards || i < subject.length)) return false
    }
    if (i >= subject.length) return true
    start = i + 1
  }
}

function hasBreakingCharacter(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code <= 0x20 || code === 0x7f) return true
  }
  return false
}
