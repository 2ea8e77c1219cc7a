/**
 * What msgpackr reads as something else than it is, put so that it reads it right:
 *
 * - -0, which is 0 here (V3);
 * - a byte order mark at the start of a text of more than 64 bytes: msgpackr takes it off. In its place such a text becomes an
 *   extension, as long as it was: the head of an extension, one byte less of length, and the type in place of the mark's first byte.
 *
 * Both are rare. Nobody can send the extension: `scan-value.ts` refuses it.
 */
import { addExtension } from 'msgpackr/index-no-eval'

const markedText = 0x01
const mark = '\uFEFF'
const markBytes = 3

// The registry is that of this build of msgpackr, which nobody else in the process loads (see value-bytes.ts).
addExtension({
  type: markedText,
  unpack: (content) =>
    mark + Buffer.from(content.buffer, content.byteOffset, content.length).toString('utf8', markBytes - 1),
})

/** A copy of the bytes with all oddities mended, of which `heads` are the heads. */
export function mendBytes(source: Uint8Array, heads: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(source)
  for (const at of heads) {
    const head = bytes[at]!
    if (head === 0xca || head === 0xcb) bytes[at + 1] = 0
    else mendText(bytes, at, head)
  }
  return bytes
}

function mendText(bytes: Uint8Array, at: number, head: number): void {
  bytes[at] = head - 0xd9 + 0xc7
  const content = at + 1 + (1 << (head - 0xd9))
  let i = content - 1
  while (bytes[i] === 0) bytes[i--] = 0xff
  bytes[i]!--
  bytes[content] = markedText
}
