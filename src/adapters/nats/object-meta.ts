/**
 * What stands for an object in its bucket: one JSON message, as every NATS client reads and writes it, that names the chunks.
 *
 *   $O.<bucket>.M.<name, base64url with padding>   the description; its last message counts
 *   $O.<bucket>.C.<nuid>                            the chunks of one put, in their order
 *
 * It may have been written by another client, and is checked like anything that comes from outside.
 */
import { webcrypto } from 'node:crypto'
import { isDamaged } from '../../core/objects.ts'
import { messageOf } from '../../protocol/errors.ts'
import { object, type StoredMessage } from './jetstream.ts'

export interface ObjectMeta {
  readonly name: string
  /** Last token of the subject of its chunks. */
  readonly nuid: string
  readonly size: number
  readonly chunks: number
  /** SHA-256, base64url. */
  readonly digest: string
  /** Sequence of the message. */
  readonly seq: number
}

const digestPrefix = 'SHA-256='

export const chunkSubject = (bucket: string, nuid: string): string => `$O.${bucket}.C.${nuid}`
export const allChunks = (bucket: string): string => `$O.${bucket}.C.>`
export const allMetas = (bucket: string): string => `$O.${bucket}.M.>`

export const metaSubject = (bucket: string, name: string): string =>
  `$O.${bucket}.M.${Buffer.from(name).toString('base64').replaceAll('+', '-').replaceAll('/', '_')}`

/** Of a subject of `allMetas`. */
export const nameOfMeta = (subject: string): string =>
  Buffer.from(subject.slice(subject.lastIndexOf('.') + 1), 'base64url').toString('utf8')

/** Of a subject of `allChunks`. */
export const nuidOfChunks = (subject: string): string => subject.slice(subject.lastIndexOf('.') + 1)

export const digestOf = async (bytes: Uint8Array): Promise<string> =>
  Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes)).toString('base64url')

export function encodeMeta(bucket: string, meta: Omit<ObjectMeta, 'seq'>, chunkBytes: number): Uint8Array {
  const { name, nuid, size, chunks, digest } = meta
  return Buffer.from(
    JSON.stringify({
      name,
      options: { max_chunk_size: chunkBytes },
      bucket,
      nuid,
      size,
      chunks,
      digest: `${digestPrefix}${digest}=`,
    }),
  )
}

/** Null: it was deleted. Throws `INTERNAL` where it describes no object that can be read. */
export function decodeMeta(name: string, { data, seq }: StoredMessage): ObjectMeta | null {
  try {
    const json = object(JSON.parse(Buffer.from(data).toString('utf8')))
    if (json['deleted'] === true) return null
    const { nuid, size, chunks, digest } = json
    const link = object(json['options'] ?? {})['link']
    if (
      typeof nuid === 'string' &&
      /^[A-Za-z0-9_-]{1,64}$/.test(nuid) &&
      isCount(size) &&
      isCount(chunks) &&
      typeof digest === 'string' &&
      digest.startsWith(digestPrefix) &&
      (link === undefined || link === null)
    ) {
      return { name, nuid, size, chunks, digest: digest.slice(digestPrefix.length).replace(/=+$/, ''), seq }
    }
  } catch (error) {
    throw isDamaged(name, `its description cannot be read: ${messageOf(error)}`)
  }
  throw isDamaged(name, 'its description is of something else than bytes with a SHA-256')
}

/**
 * Last token of the subject of the chunks that are described, whatever else is said of them; null where there are none, as of a link.
 * `undefined`: it cannot be read.
 */
export function describedChunks({ data }: StoredMessage): string | null | undefined {
  try {
    const json = object(JSON.parse(Buffer.from(data).toString('utf8')))
    if (json['deleted'] === true || object(json['options'] ?? {})['link'] != null) return null
    return typeof json['nuid'] === 'string' ? json['nuid'] : undefined
  } catch {
    return undefined
  }
}

const isCount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
