export { actor, type Actor, type ActorDefinition, type CommandContext } from './behaviour/index.ts'
export { kv, type KvDefinition, type KvOptions } from './behaviour/kv.ts'
export {
  task,
  type Collector,
  type Coordinator,
  type Envelope,
  type Output,
  type ProcessContext,
  type StreamTask,
  type TaskContext,
  type TaskDefinition,
  type TaskFormat,
  type TaskInput,
  type TaskOptions,
  type TaskStore,
} from './behaviour/task.ts'
export {
  Holdfast,
  type CallOptions,
  type Change,
  type Duration,
  type Kv,
  type KvCallOptions,
  type KvCountOptions,
  type KvDeleteOptions,
  type KvEntry,
  type KvPutOptions,
  type KvRangeOptions,
  type KvReading,
  type KvScanOptions,
  type KvSnapshot,
  type KvStore,
  type KvUpdateOptions,
  type KvWatchOptions,
  type Measured,
  type Reference,
  type TypeWatchOptions,
  type Watch,
  type WatchOptions,
  type WatchReset,
} from './client/index.ts'
export { connect, type ConnectOptions } from './connect.ts'
export type { NodeSettingsInput, NodeStatus } from '../actors/node.ts'
export { createNode, type HoldfastNode } from './node/create-node.ts'
export type { CreateNodeOptions } from './node/options.ts'
export { provision, type Provisioned, type ProvisionOptions } from './node/provision-cluster.ts'
export type { Counter, Gauge, Metric } from './ports/metrics.ts'
export type { HoldfastEvent, Observer } from './ports/observer.ts'
export { HoldfastError, isHoldfastError, type ErrorCode, type HoldfastErrorOf } from './protocol/errors.ts'
export type { Value } from './protocol/values.ts'
