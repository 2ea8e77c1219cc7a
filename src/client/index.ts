export { actor, type Actor, type ActorDefinition, type CommandContext } from '../behaviour/index.ts'
export { kv, type KvDefinition, type KvOptions } from '../behaviour/kv.ts'
export { HoldfastError, isHoldfastError, type ErrorCode, type HoldfastErrorOf } from '../protocol/errors.ts'
export type { Counter, Gauge, Metric } from '../ports/metrics.ts'
export type { Value } from '../protocol/values.ts'
export { connect, type ConnectOptions } from '../connect.ts'
export type { CallOptions } from './call-options.ts'
export { connectOver, type ClientOptions } from './connect.ts'
export type { ClientPorts } from './ports.ts'
export type { Duration } from '../protocol/duration.ts'
export { Holdfast } from './holdfast.ts'
export type {
  KvCountOptions,
  KvDeleteOptions,
  KvEntry,
  KvPutOptions,
  KvRangeOptions,
  KvReading,
  KvScanOptions,
  KvStore,
  KvUpdateOptions,
} from '../behaviour/kv-store.ts'
export type { Kv, KvCallOptions, KvSnapshot, KvWatchOptions } from './kv.ts'
export type { Reference } from './reference.ts'
export type { Measured, SessionPorts } from './session-options.ts'
export type { Change, TypeWatchOptions, Watch, WatchOptions, WatchReset } from './watch.ts'
