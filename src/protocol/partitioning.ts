/**
 * Which partition a key belongs to: the same answer in every language, and in a NATS server's subject mapping.
 *
 * K1. Partition = FNV-1a 32 of the key's subject token, modulo the count of partitions: what `{{partition(n,token)}}` computes.
 * K2. The type has no part in it: the same key of every type is in one partition.
 * K3. The count is a power of two from 1 to 512, so that doubling it sends the keys of partition p to p and p + count.
 */
import { HoldfastError } from './errors.ts'
import type { PartitionId } from './ids.ts'
import { encodeToken } from './subjects.ts'

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

/** FNV-1a 32 of an ASCII text. */
export function fnv1a32(ascii: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < ascii.length; i++) h = Math.imul(h ^ ascii.charCodeAt(i), 0x01000193)
  return h >>> 0
}

/** The partition of a key that has passed `checkName`; `partitions` must be a partition count. */
export const partitionOf = (key: string, partitions: number): PartitionId =>
  (fnv1a32(encodeToken(key)) & (partitions - 1)) as PartitionId
