import type { Seq } from './ids.ts'

/** The log's answer to one append. */
export type AppendResult =
  | { readonly kind: 'accepted'; readonly seq: Seq; readonly duplicate: boolean }
  /** Not stored by this call. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** Nobody can say yet: it may be stored, or be stored later. */
  | { readonly kind: 'unknown'; readonly reason: string }

/** One record as the log holds it. */
export interface LogEntry {
  readonly seq: Seq
  readonly record: Uint8Array
}
