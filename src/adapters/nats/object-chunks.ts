/**
 * The bytes of one object, written to and read from their subject.
 *
 * X1. At most `window` chunks are under way at a time: the connection is that of the node's appends, which must not wait behind them.
 * X2. A write ends when every chunk that was sent is settled: what is purged after that does not come back.
 * X3. A reading of many chunks goes by a consumer, from the budget of long reads, which is several times faster than asking for each. Its
 *     server may not have all that the stream's leader has: where chunks are missing, or there are too many, the leader is asked.
 * X4. The leader answers several questions at once: for each of the next sequences the first chunk that is not before it.
 *     So none is left out, wherever others have written in between; one that is given twice is taken once.
 */
import type { Msg } from '@nats-io/transport-node'
import { isDamaged, maxObjectBytes } from '../../core/objects.ts'
import { HoldfastError, isHoldfastError } from '../../protocol/errors.ts'
import { acknowledgementOf, sentenceOf } from './acknowledgement.ts'
import type { JetStream, StoredMessage } from './jetstream.ts'
import type { Link } from './link.ts'
import type { ObjectMeta } from './object-meta.ts'
import type { Requests } from './requests.ts'
import { StreamReading } from './stream-reading.ts'

/** As other clients have it. */
const usualChunk = 131_072
/** For the line of the message. */
const overhead = 512
const window = 4

export const chunkBytesFor = (maxPayload: number): number => Math.max(1, Math.min(usualChunk, maxPayload - overhead))

export interface ChunkWrite {
  readonly requests: Requests
  readonly stream: string
  readonly subject: string
  readonly chunkBytes: number
  readonly timeoutMs: number
}

/** Throws `RETRY`, or `INVALID` where the server never takes it: the object is not there either way. */
export async function writeChunks(bytes: Uint8Array, options: ChunkWrite): Promise<number> {
  const { requests, stream, subject, chunkBytes, timeoutMs } = options
  const chunks = Math.ceil(bytes.length / chunkBytes)
  let next = 0
  let failure: HoldfastError | undefined
  const writer = async () => {
    while (next < chunks && failure === undefined) {
      const at = chunkBytes * next++
      const answer = await requests.ask({ subject, timeoutMs }, bytes.subarray(at, at + chunkBytes))
      failure ??= failureOf(acknowledgementOf(answer, stream), stream)
    }
  }
  await Promise.all(Array.from({ length: window }, writer))
  if (failure !== undefined) throw failure
  return chunks
}

function failureOf(said: ReturnType<typeof acknowledgementOf>, stream: string): HoldfastError | undefined {
  switch (said.kind) {
    case 'stored':
      return undefined
    case 'refused':
      return new HoldfastError('INVALID', `the stream ${stream} does not take an object: ${sentenceOf(said.error)}`)
    case 'denied':
      return new HoldfastError('INVALID', said.reason)
    case 'missed':
    case 'unclear':
      return new HoldfastError('RETRY', `an object was not stored (${said.reason}): put it again`)
  }
}

export interface ChunkRead {
  readonly link: Link
  readonly jetstream: JetStream
  readonly stream: string
  readonly subject: string
  readonly meta: ObjectMeta
}

/** All bytes of the object, unchecked but for their number. Throws `INTERNAL` where there are others, `RETRY` where nobody answers. */
export async function readChunks(read: ChunkRead): Promise<Uint8Array> {
  const { meta } = read
  if (meta.size > maxObjectBytes) {
    throw isDamaged(meta.name, `it has ${meta.size} bytes, and an object has at most ${maxObjectBytes}`)
  }
  return (meta.chunks > window && (await readByConsumer(read))) || readByLeader(read)
}

/** X3. `undefined`: not the bytes that the object has. */
async function readByConsumer({ link, jetstream, stream, subject, meta }: ChunkRead): Promise<Uint8Array | undefined> {
  const take = ({ data }: Msg): Uint8Array => data
  const reading = new StreamReading(link, jetstream, { stream, filter: subject, from: 1, to: 'now', take })
  const bytes = new Uint8Array(meta.size)
  let filled = 0
  try {
    for (let taken = 0; taken < meta.chunks; taken++) {
      const chunk = await reading.next()
      if (chunk === undefined || filled + chunk.length > meta.size) return undefined
      bytes.set(chunk, filled)
      filled += chunk.length
    }
  } catch (error) {
    // The stream has as many consumers as it may, or this user may not make any.
    if (!isHoldfastError(error, 'INVALID')) throw error
    return undefined
  } finally {
    reading.close()
  }
  return filled === meta.size ? bytes : undefined
}

/** X4 */
async function readByLeader({ jetstream, stream, subject, meta }: ChunkRead): Promise<Uint8Array> {
  const bytes = new Uint8Array(meta.size)
  let filled = 0
  let taken = 0
  let last = 0
  /** Where the next question begins; the first chunk may be anywhere. */
  let ask = 1
  const asked: Promise<StoredMessage | null>[] = []
  const send = () => {
    const answer = jetstream.message(stream, { seq: ask++, next_by_subj: subject })
    // Whoever reads may have thrown before it comes to this one.
    answer.catch(() => {})
    asked.push(answer)
  }
  while (taken < meta.chunks) {
    if (asked.length === 0) {
      ask = Math.max(ask, last + 1)
      const more = last === 0 ? 1 : Math.min(window, meta.chunks - taken)
      for (let i = 0; i < more; i++) send()
    }
    const chunk = await asked.shift()!
    if (chunk === null) throw isDamaged(meta.name, `it has ${taken} of ${meta.chunks} chunks`)
    if (chunk.seq <= last) continue
    last = chunk.seq
    taken++
    if (filled + chunk.data.length > meta.size) throw isDamaged(meta.name, `it has more than its ${meta.size} bytes`)
    bytes.set(chunk.data, filled)
    filled += chunk.data.length
    // In a row, as chunks mostly are: the window stays full.
    if (asked.length > 0 && ask <= last + window && taken + asked.length < meta.chunks) send()
  }
  if (filled !== meta.size) throw isDamaged(meta.name, `it has ${filled} of ${meta.size} bytes`)
  return bytes
}
