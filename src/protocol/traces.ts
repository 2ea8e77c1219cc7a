/**
 * What request frames say of the traces that their requests belong to: one header beside the frame, for a node that does not know it leaves it.
 *
 *   Hf-Traces: <index>:<traceparent>(,<index>:<traceparent>)*      or "-" for none
 *
 * A1. The index is that of the request in its frame, from 0, growing; a traceparent is that of W3C Trace Context, version 00.
 * A2. A client that traces sends the header with each frame. A request that is not listed is one that it does not record: its owner
 *     begins no trace of it either. Without the header nobody has decided yet.
 * A3. A header that is not of this form names none. Traces are never worth a request.
 */

/** What one request adds to its frame's header, at most. */
export const traceBytes = 64

export interface TraceParent {
  readonly traceId: string
  readonly spanId: string
  readonly flags: number
}

const form = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/
const longest = 512

/** `undefined` for what is none. Later versions of it may say more in the end. */
export function parseTraceparent(text: string): TraceParent | undefined {
  if (text.length > longest) return undefined
  const [, traceId, spanId, flags] = form.exec(text) ?? []
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined
  return { traceId, spanId, flags: Number.parseInt(flags, 16) }
}

export const formatTraceparent = ({ traceId, spanId, flags }: TraceParent): string =>
  `00-${traceId}-${spanId}-${(flags & 0xff).toString(16).padStart(2, '0')}`

const none = '-'

/** `undefined` in the list: a request that is not recorded. */
export function encodeTraces(traceparents: readonly (string | undefined)[]): string {
  const listed = traceparents.flatMap((traceparent, i) => (traceparent === undefined ? [] : [`${i}:${traceparent}`]))
  return listed.length === 0 ? none : listed.join(',')
}

/** Traceparents by the index of their request, of a frame that has so many of them. */
export function decodeTraces(header: string, requests: number): ReadonlyMap<number, string> {
  const traces = new Map<number, string>()
  if (header === none || header.length > requests * traceBytes) return traces
  let last = -1
  for (const entry of header.split(',')) {
    const [, digits = '', traceparent = ''] = /^(0|[1-9][0-9]{0,3}):(.{55})$/.exec(entry) ?? []
    const index = Number(digits)
    if (digits === '' || index <= last || index >= requests || parseTraceparent(traceparent) === undefined) return empty
    traces.set(index, traceparent)
    last = index
  }
  return traces
}

const empty: ReadonlyMap<number, string> = new Map()
