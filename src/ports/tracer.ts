/**
 * Traces: the way of a command from its caller to the log, for whoever collects spans.
 *
 * R1. Where nobody collects there is no tracer: a request costs one look whether there is.
 * R2. What is not recorded is not there: `call` and `turn` give nothing then, and nothing below it is begun.
 * R3. No span holds a key, a value, or a text that may quote one.
 * R4. Nothing here throws into its caller.
 */
import type { ErrorCode } from '../protocol/errors.ts'
import type { RequestKind } from '../protocol/frames.ts'
import type { Epoch, PartitionId, Rev, Seq } from '../protocol/ids.ts'

export interface Tracer {
  /** A client's call begins, under `parent`, a W3C traceparent, or else under the span that is active. */
  call(what: Traced, parent: string | undefined): CallSpan | undefined
  /** A request has come to the node that is to do it. Without `parent` it is the first of its trace. */
  turn(what: Traced, partition: PartitionId, parent: string | undefined): TurnSpan | undefined
}

export interface Traced {
  readonly kind: RequestKind
  readonly type: string
  readonly name: string
}

/** `MOVED`: not done here, and sent on by its client. */
export type Outcome = 'OK' | 'MOVED' | ErrorCode

/** A call, from its beginning to what its caller hears. */
export interface CallSpan {
  /** As W3C has it. */
  readonly traceparent: string
  /** It is sent once more, the second time being 2. */
  attempt(number: number): void
  end(outcome: Outcome, attempts: number): void
}

/** `wait`: for its key, its state and the processor. `commit`: from when the handler has returned to when the log has acknowledged. */
export type Phase = 'wait' | 'handler' | 'commit'

/** A request at its owner, from its arrival to its reply. */
export interface TurnSpan {
  /** It is for this ownership to do it. */
  owned(epoch: Epoch): void
  /** It was done, or is being done, for an earlier attempt: this one only gets the reply. */
  repeated(): void
  /** Ends the phase before; `undefined`: none follows. */
  enter(phase: Phase | undefined): void
  /** Runs it as a part of the phase: spans of the user's own are below it. */
  within<T>(run: () => T): T
  /** `rev`: of the keyed actor, where it was changed. */
  committed(seq: Seq, rev: Rev | undefined): void
  end(outcome: Outcome): void
}
