/** What a caller hears of what a handler threw (N3). */
import type { ActorDefinition } from '../behaviour/definition.ts'
import { entryDefinition } from '../behaviour/kv.ts'
import { isHoldfastError, messageOf, type HoldfastError } from '../protocol/errors.ts'
import type { WireError } from '../protocol/frames.ts'

/** A handler may throw anything; `INVALID` is our own word about its values, and passes as it is. */
export function failure(thrown: unknown, definition: ActorDefinition): WireError {
  const message = messageOf(thrown)
  if (definition === entryDefinition && isHoldfastError(thrown, 'CONFLICT')) return { code: 'CONFLICT', message }
  if (isHoldfastError(thrown, 'INVALID')) {
    const path = pathIn(thrown)
    return { code: 'INVALID', message, ...(path === undefined ? {} : { path }) }
  }
  return { code: 'FAILED', message: `the handler threw: ${message}` }
}

/** What calls itself our error may have anything there. */
function pathIn(error: HoldfastError): string | undefined {
  try {
    const path: unknown = error.path
    return typeof path === 'string' ? path : undefined
  } catch {
    return undefined
  }
}
