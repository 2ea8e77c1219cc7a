/**
 * What lives with an ownership of a partition and makes units of the partition's own: stream tasks.
 *
 * H1. A tenant begins when the ownership serves, and ends with it. After `end` nothing that it does counts.
 * H2. After `rest` has resolved it makes no unit any more: the hand-off record can follow.
 */
import type { Clock } from '../ports/clock.ts'
import type { Metric } from '../ports/metrics.ts'
import type { Epoch, PartitionId } from '../protocol/ids.ts'
import type { ScanPage, ScanRequest } from '../protocol/scan.ts'
import type { Unit } from './unit.ts'

/** What an ownership lends to its tenant. */
export interface OwnedPartition {
  readonly partition: PartitionId
  readonly epoch: Epoch
  readonly clock: Clock
  /** Aborts when the ownership has ended. */
  readonly signal: AbortSignal
  /** Begins a unit. Commit or drop it. */
  unit(): Unit
  /** A page of what is committed. Throws as a scan of a client is refused. */
  scan(request: ScanRequest): Promise<ScanPage>
}

export interface Tenant {
  /** Why commands to this actor type are refused; `undefined`: they are not. */
  refusal(type: string): string | undefined
  /** Begins nothing any more; resolves once what has begun has come to its end. Rejects never. */
  rest(): Promise<void>
  /** How full it is. */
  metrics(): readonly Metric[]
  /** The ownership has ended. */
  end(): void
}

export type OpenTenant = (owned: OwnedPartition) => Tenant
