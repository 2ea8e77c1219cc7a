/**
 * How one change of the embedded registry is written: kind (1 byte), revision (6 bytes), length of the key (2 bytes), key, value.
 * A floor names a revision that all later ones are above; it has neither key nor value.
 */
export type StoredChange =
  | { readonly kind: 'put'; readonly key: string; readonly value: Uint8Array; readonly revision: number }
  | { readonly kind: 'delete'; readonly key: string; readonly revision: number }
  | { readonly kind: 'floor'; readonly revision: number }

const kinds = ['put', 'delete', 'floor'] as const
const header = 9

export function encodeChange(change: StoredChange): Uint8Array {
  const key = Buffer.from(change.kind === 'floor' ? '' : change.key)
  const value = change.kind === 'put' ? change.value : new Uint8Array()
  const bytes = Buffer.alloc(header + key.length + value.length)
  bytes.writeUInt8(kinds.indexOf(change.kind))
  bytes.writeUIntLE(change.revision, 1, 6)
  bytes.writeUInt16LE(key.length, 7)
  key.copy(bytes, header)
  bytes.set(value, header + key.length)
  return bytes
}

/** Null where the bytes say nothing that this version understands. */
export function decodeChange(body: Uint8Array): StoredChange | null {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  if (bytes.length < header) return null
  const kind = kinds[bytes[0]!]
  const revision = bytes.readUIntLE(1, 6)
  const end = header + bytes.readUInt16LE(7)
  if (kind === undefined || bytes.length < end) return null
  if (kind === 'floor') return { kind, revision }
  const key = bytes.toString('utf8', header, end)
  return kind === 'delete'
    ? { kind, key, revision }
    : { kind, key, value: Uint8Array.prototype.slice.call(bytes, end), revision }
}
