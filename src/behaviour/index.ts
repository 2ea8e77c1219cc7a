export { actor, type Actor } from './actor.ts'
export type { ActorDefinition, CommandContext } from './definition.ts'
