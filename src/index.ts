export { actor, type Actor, type ActorDefinition, type CommandContext } from './behaviour/index.ts'
export {
  Holdfast,
  type CallOptions,
  type Change,
  type Duration,
  type Reference,
  type Watch,
  type WatchOptions,
} from './client/index.ts'
export { connect, type ConnectOptions } from './connect.ts'
export type { NodeSettingsInput, NodeStatus } from '../actors/node.ts'
export { createNode, type HoldfastNode } from './node/create-node.ts'
export type { CreateNodeOptions } from './node/options.ts'
export type { HoldfastEvent, Observer } from './ports/observer.ts'
export { HoldfastError, isHoldfastError, type ErrorCode } from './protocol/errors.ts'
export type { Value } from './protocol/values.ts'
