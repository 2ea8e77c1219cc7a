/**
 * The contents of a snapshot, read back: chunk after chunk, each checked before a byte of it is used.
 *
 * T1. Up to `ahead` chunks are fetched and decompressed at a time, and given out in their order: memory is bounded by so many.
 * T2. A chunk that is gone, another one, or damaged ends it with a `FaultySnapshot` that names the object. That nobody answers is no such
 *     fault: it is thrown as it is (`RETRY`).
 * T3. Nobody is held up (pacer.ts): whoever reads a snapshot serves other partitions meanwhile.
 */
import { createHash } from 'node:crypto'
import { sameBytes } from '../../core/hashing.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Compression } from '../../ports/compression.ts'
import type { Objects } from '../../ports/objects.ts'
import { HoldfastError, isHoldfastError, messageOf } from '../../protocol/errors.ts'
import type { PartitionId } from '../../protocol/ids.ts'
import { Pacer } from './pacer.ts'
import { chunkName, decodeManifest, manifestName, type Manifest } from './manifest.ts'

export interface SnapshotSource {
  readonly objects: Objects
  readonly compression: Compression
  readonly clock: Clock
  /** Aborts it between two steps; it then throws the signal's reason. */
  readonly signal?: AbortSignal
}

/** What is wrong with a snapshot, and in which object. */
export class FaultySnapshot extends HoldfastError {
  readonly fault: 'missing' | 'damaged'
  readonly object: string

  constructor(fault: 'missing' | 'damaged', object: string, reason: string) {
    super('INTERNAL', `the snapshot cannot be used, its object ${object} is ${fault} (${reason}): use another snapshot`)
    this.fault = fault
    this.object = object
  }
}

const hashedBytes = 65_536

export async function readManifest(source: SnapshotSource, partition: PartitionId, id: string): Promise<Manifest> {
  const name = manifestName(partition, id)
  const bytes = await fetchObject(source, name)
  let manifest: Manifest
  try {
    manifest = decodeManifest(bytes)
  } catch (error) {
    throw new FaultySnapshot('damaged', name, messageOf(error))
  }
  if (manifest.id !== id || manifest.position.partition !== partition) {
    throw new FaultySnapshot(
      'damaged',
      name,
      `it is of snapshot ${manifest.id} of partition ${manifest.position.partition}`,
    )
  }
  return manifest
}

/** The content of each chunk, checked, in order. */
export async function* contentsOf(
  source: SnapshotSource,
  manifest: Manifest,
  ahead: number,
): AsyncGenerator<Uint8Array> {
  const coming: Promise<Uint8Array>[] = []
  for (let next = 0, n = 0; n < manifest.chunks.length; n++) {
    source.signal?.throwIfAborted()
    for (; next < manifest.chunks.length && coming.length < ahead; next++) {
      const content = bring(source, manifest, next)
      // Whoever reads may have left before it comes to this one.
      content.catch(() => {})
      coming.push(content)
    }
    const content = await coming.shift()!
    await check(source, manifest, n, content)
    yield content
  }
}

async function bring(
  { objects, compression, signal }: SnapshotSource,
  manifest: Manifest,
  n: number,
): Promise<Uint8Array> {
  const { bytes, stored } = manifest.chunks[n]!
  const name = chunkName(manifest.position.partition, manifest.id, n)
  const object = await fetchObject({ objects }, name)
  signal?.throwIfAborted()
  if (object.length !== stored) throw new FaultySnapshot('damaged', name, `it has ${object.length} of ${stored} bytes`)
  try {
    return await compression.decompress(object, bytes)
  } catch (error) {
    throw isHoldfastError(error, 'INVALID') ? new FaultySnapshot('damaged', name, messageOf(error)) : error
  }
}

async function check({ clock }: SnapshotSource, manifest: Manifest, n: number, content: Uint8Array): Promise<void> {
  const digest = createHash('sha256')
  const pacer = new Pacer({ clock })
  for (let at = 0; at < content.length; at += hashedBytes) {
    const part = content.subarray(at, at + hashedBytes)
    digest.update(part)
    if (pacer.spend(part.length)) await pacer.rest()
  }
  if (sameBytes(digest.digest(), manifest.chunks[n]!.digest)) return
  const name = chunkName(manifest.position.partition, manifest.id, n)
  throw new FaultySnapshot('damaged', name, 'its content is another than the manifest says')
}

async function fetchObject({ objects }: Pick<SnapshotSource, 'objects'>, name: string): Promise<Uint8Array> {
  let object: Uint8Array | null
  try {
    object = await objects.get(name)
  } catch (error) {
    throw isHoldfastError(error, 'INTERNAL') ? new FaultySnapshot('damaged', name, error.reason) : error
  }
  if (object === null) throw new FaultySnapshot('missing', name, 'there is none of that name')
  return object
}
