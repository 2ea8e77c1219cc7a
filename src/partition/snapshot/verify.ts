/**
 * Reading a snapshot back, all of it: is it what it says?
 *
 * C1. Every checksum, every row in order and readable, their number, and the state hash as the sum of the actors' shares, each computed anew.
 * C2. The verdict is of the snapshot alone. Where nobody answers there is none: `RETRY` is thrown.
 */
import { actorShare, hash64ToText, noShare, replaceShare, type Hash64 } from '../../core/hashing.ts'
import { messageOf } from '../../protocol/errors.ts'
import type { PartitionId } from '../../protocol/ids.ts'
import { checkRow, parseActorKey } from '../store-layout.ts'
import { contentsOf, FaultySnapshot, readManifest, type SnapshotSource } from './contents.ts'
import { chunkName, manifestName, type Manifest } from './manifest.ts'
import { Pacer } from './pacer.ts'
import { RowReader } from './rows.ts'

export interface VerifyOptions extends SnapshotSource {
  readonly partition: PartitionId
  readonly id: string
  /** Bytes of rows in a second, at most. Default: as fast as it goes. */
  readonly bytesPerSecond?: number
}

export type SnapshotVerdict =
  | { readonly kind: 'whole'; readonly manifest: Manifest }
  /** `object`: the first one that is not as it should be. */
  | { readonly kind: 'missing' | 'damaged'; readonly object: string; readonly reason: string }

/** Chunks that are fetched ahead. */
const ahead = 2

export async function verifySnapshot(options: VerifyOptions): Promise<SnapshotVerdict> {
  try {
    const manifest = await readManifest(options, options.partition, options.id)
    await verifyContents(options, manifest)
    return { kind: 'whole', manifest }
  } catch (error) {
    if (!(error instanceof FaultySnapshot)) throw error
    return { kind: error.fault, object: error.object, reason: error.reason }
  }
}

async function verifyContents(options: VerifyOptions, manifest: Manifest): Promise<void> {
  const { partition } = options
  const reader = new RowReader()
  const pacer = new Pacer(options)
  let sum: Hash64 = noShare
  let n = 0
  for await (const content of contentsOf(options, manifest, ahead)) {
    const object = chunkName(partition, manifest.id, n)
    const before = reader.rows
    try {
      for (const [key, value] of reader.rowsOf(content)) {
        sum = replaceShare(sum, noShare, shareOf(key, value))
        if (pacer.spend(key.length + value.length)) await pacer.rest()
      }
    } catch (error) {
      throw new FaultySnapshot('damaged', object, messageOf(error))
    }
    const rows = reader.rows - before
    const expected = manifest.chunks[n++]!.rows
    if (rows !== expected) throw new FaultySnapshot('damaged', object, `it has ${rows} of ${expected} rows`)
  }
  const name = manifestName(partition, manifest.id)
  if (reader.rest > 0) throw new FaultySnapshot('damaged', name, 'the last row does not end')
  const expected = hash64ToText(manifest.stateHash)
  const actual = hash64ToText(sum)
  if (actual !== expected) throw new FaultySnapshot('damaged', name, `the state hash is ${actual}, not ${expected}`)
}

/** What a row, other than that of the position, adds to the state hash. Throws `INTERNAL` where it is no row of a store. */
export function shareOf(key: Uint8Array, value: Uint8Array): Hash64 {
  const id = parseActorKey(key)
  if (id === undefined) {
    checkRow(key, value)
    return noShare
  }
  const version = checkRow(key, value)!
  const share = actorShare(id, version.rev, version.state, version.expiresAt)
  if (share.hi !== version.hi || share.lo !== version.lo) throw new Error(`the share of ${id} is not what it was`)
  return share
}
