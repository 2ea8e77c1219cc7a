/** Text as bytes and back, so that the suites read easily. */
export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
export const text = (data: Uint8Array | undefined | null): string | undefined =>
  data == null ? undefined : new TextDecoder().decode(data)
/** `length` bytes that differ from place to place, so that a shifted copy shows. */
export const pattern = (length: number, salt = 0): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) + salt) & 0xff)
/** Compares without printing megabytes where it fails. */
export const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
