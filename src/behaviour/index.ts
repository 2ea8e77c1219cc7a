export {
  actor,
  type Actor,
  type ActorOptions,
  type Commands,
  type CommandsOf,
  type Queries,
  type QueriesOf,
  type StateOf,
} from './actor.ts'
export type { ActorDefinition, CommandContext, CommandHandler, QueryHandler } from './definition.ts'
export { reservedNames, type ReservedName } from './names.ts'
