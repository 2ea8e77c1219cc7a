/**
 * Who listens to what: subscriptions by subject, found by the subject of a message, as a NATS server does it.
 *
 * Subjects without wildcards are looked up as a whole; only the others are walked token by token, so that a message that
 * nobody wants costs one lookup for each.
 *
 * I1. No branch is empty but the root: who comes and goes, as clients' inboxes do, leaves nothing behind.
 */
interface Branch<T> {
  readonly next: Map<string, Branch<T>>
  /** Subscriptions that end here. */
  readonly here: Set<T>
  /** Subscriptions that end here in `>`. */
  readonly rest: Set<T>
}

const branch = <T>(): Branch<T> => ({ next: new Map(), here: new Set(), rest: new Set() })

export class Interest<T> {
  readonly #literal = new Map<string, Set<T>>()
  readonly #wild: Branch<T> = branch()
  #wildCount = 0

  add(pattern: string, listener: T): void {
    if (!isWild(pattern)) {
      const listeners = this.#literal.get(pattern)
      if (listeners === undefined) this.#literal.set(pattern, new Set([listener]))
      else listeners.add(listener)
      return
    }
    const place = this.#placeOf(pattern)
    if (!place.has(listener)) this.#wildCount++
    place.add(listener)
  }

  remove(pattern: string, listener: T): void {
    if (!isWild(pattern)) {
      const listeners = this.#literal.get(pattern)
      if (listeners?.delete(listener) && listeners.size === 0) this.#literal.delete(pattern)
      return
    }
    if (removeBelow(this.#wild, pattern.split('.'), 0, listener)) this.#wildCount--
  }

  /** All whose pattern matches the subject, each once for each of its patterns. */
  match(subject: string, found: T[] = []): T[] {
    const listeners = this.#literal.get(subject)
    if (listeners !== undefined) for (const listener of listeners) found.push(listener)
    if (this.#wildCount > 0) collect(this.#wild, subject, 0, found)
    return found
  }

  /** Where a pattern with wildcards ends; made where it is not there. */
  #placeOf(pattern: string): Set<T> {
    let at = this.#wild
    for (const token of pattern.split('.')) {
      if (token === '>') return at.rest
      let next = at.next.get(token)
      if (next === undefined) at.next.set(token, (next = branch()))
      at = next
    }
    return at.here
  }
}

const isWild = (pattern: string) => pattern.split('.').some((token) => token === '*' || token === '>')

/** Whether it was there. What it leaves empty goes with it (I1). */
function removeBelow<T>(at: Branch<T>, tokens: readonly string[], depth: number, listener: T): boolean {
  const token = tokens[depth]
  if (token === undefined) return at.here.delete(listener)
  if (token === '>') return at.rest.delete(listener)
  const next = at.next.get(token)
  if (next === undefined || !removeBelow(next, tokens, depth + 1, listener)) return false
  if (next.next.size === 0 && next.here.size === 0 && next.rest.size === 0) at.next.delete(token)
  return true
}

function collect<T>(at: Branch<T>, subject: string, start: number, found: T[]): void {
  for (const listener of at.rest) found.push(listener)
  if (at.next.size === 0) return
  const dot = subject.indexOf('.', start)
  const token = dot < 0 ? subject.slice(start) : subject.slice(start, dot)
  for (const next of [at.next.get(token), token === '*' ? undefined : at.next.get('*')]) {
    if (next === undefined) continue
    if (dot < 0) for (const listener of next.here) found.push(listener)
    else collect(next, subject, dot + 1, found)
  }
}
