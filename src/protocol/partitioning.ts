/**
 * Which partition a key belongs to: the same answer in every language, and in a NATS server's subject mapping.
 *
 * K1. Partition = FNV-1a 32 of the key's subject token, modulo the count of partitions: what `{{partition(n,token)}}` computes.
 * K2. The type has no part in it: the same key of every type is in one partition.
 * K3. The count is a power of two from 1 to 512, so that doubling it sends the keys of partition p to p and p + count.
 */
import { HoldfastError } from './errors.ts'
import type { PartitionId } from './ids.ts'
import { encodeToken, isPlain, maxTokenBytes } from './subjects.ts'

export const defaultPartitions = 16
export const maxPartitions = 512

export const isPartitionCount = (n: number): boolean =>
  Number.isInteger(n) && n >= 1 && n <= maxPartitions && (n & (n - 1)) === 0

/** Throws `INVALID` unless `n` can be a count of partitions (K3). */
export function checkPartitionCount(n: number): void {
  if (!isPartitionCount(n)) {
    throw new HoldfastError(
      'INVALID',
      `${n} is not a count of partitions: use a power of two from 1 to ${maxPartitions}`,
    )
  }
}

const fnvOffset = 0x811c9dc5
const fnvPrime = 0x01000193

/** FNV-1a 32 of an ASCII text. */
export function fnv1a32(ascii: string): number {
  let h = fnvOffset
  for (let i = 0; i < ascii.length; i++) h = Math.imul(h ^ ascii.charCodeAt(i), fnvPrime)
  return h >>> 0
}

/**
 * The partition of a key that is its own token, which needs no other check; `undefined` for all others. Most keys are: one look at each
 * character is all that they take.
 */
export function partitionOfPlain(key: string, partitions: number): PartitionId | undefined {
  const { length } = key
  if (length === 0 || length > maxTokenBytes) return undefined
  let h = fnvOffset
  for (let i = 0; i < length; i++) {
    const code = key.charCodeAt(i)
    if (code > 0x7f || plainCodes[code] === 0) return undefined
    h = Math.imul(h ^ code, fnvPrime)
  }
  return (h & (partitions - 1)) as PartitionId
}

const plainCodes = Uint8Array.from({ length: 0x80 }, (_, code) => Number(isPlain(String.fromCharCode(code))))

/** The partition of a key that has passed `checkName`; `partitions` must be a partition count. */
export const partitionOf = (key: string, partitions: number): PartitionId =>
  (fnv1a32(encodeToken(key)) & (partitions - 1)) as PartitionId
