/** What a request asks of a node that hosts its type: found in the same way by owners and standbys. */
import type { ActorDefinition } from '../behaviour/definition.ts'
import { entryDefinition, kvPrefix } from '../behaviour/kv.ts'
import type { Request } from '../protocol/frames.ts'
import type { Incoming } from './owner.ts'

/** Of an actor type, or of the entries of a store; `undefined`: not hosted here. */
export const definitionOf = (
  definitions: ReadonlyMap<string, ActorDefinition>,
  type: string,
): ActorDefinition | undefined => definitions.get(type) ?? (type.startsWith(kvPrefix) ? entryDefinition : undefined)

/** Whether it is to be answered by a query: a call is, where no command has its name. */
export const asksQuery = ({ commands, queries }: ActorDefinition, { kind, name }: Request): boolean =>
  kind === 'query' || (kind === 'call' && commands[name] === undefined && queries[name] !== undefined)

/** The same asker, with another request. */
export const asking = (incoming: Incoming, request: Request): Incoming => ({
  session: incoming.session,
  low: incoming.low,
  request,
  span: incoming.span,
  respond: (answer) => incoming.respond(answer),
})

/** The same request, which has waited for so long. */
export const withPatienceLeft = (incoming: Incoming, waitedMs: number): Incoming =>
  asking(incoming, { ...incoming.request, timeoutMs: incoming.request.timeoutMs - waitedMs })
