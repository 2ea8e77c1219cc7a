/**
 * Questions of a node to a server over a link, each with one end: the answer, or `RequestLost`.
 *
 * Q1. A question that was sent may be executed even though its answer never comes, also after `RequestLost`.
 * Q2. `sent: false` means that it never left the node.
 */
import type { Clock } from '../../ports/clock.ts'
import type { Subscription } from '../../ports/transport.ts'
import type { Link } from './link.ts'

export class RequestLost extends Error {
  readonly sent: boolean
  constructor(sent: boolean, reason: string) {
    super(reason)
    this.sent = sent
  }
}

/** What is to go wrong with one question, besides what goes wrong with the link. */
export interface RequestFault {
  readonly loseRequest?: boolean
  readonly loseAnswer?: boolean
  readonly laterMs?: number
}

export interface RequestsOptions {
  readonly link: Link
  /** Of the node. */
  readonly clock: Clock
  /** Longest wait for an answer. */
  readonly timeoutMs: number
}

export class Requests {
  readonly #options: RequestsOptions
  readonly #waiting = new Set<(lost: RequestLost) => void>()
  readonly #linkWatch: Subscription
  #closed = false

  constructor(options: RequestsOptions) {
    this.#options = options
    this.#linkWatch = options.link.onNode((up) => {
      if (!up) this.#loseAll('the connection broke before the answer came')
    })
  }

  /** Runs `serve` at the server; what it returns or throws comes back. */
  ask<T>(serve: () => T, fault: RequestFault = {}): Promise<T> {
    const { link, clock, timeoutMs } = this.#options
    if (this.#closed) return Promise.reject(new RequestLost(false, 'this handle is closed'))
    if (!link.up) return Promise.reject(new RequestLost(false, 'there is no connection to the server'))
    return new Promise<T>((resolve, reject) => {
      const end = (settle: () => void) => {
        if (!this.#waiting.delete(lose)) return
        clock.clearTimeout(timer)
        settle()
      }
      const lose = (lost: RequestLost) => end(() => reject(lost))
      const timer = clock.setTimeout(
        () => lose(new RequestLost(true, `no answer came within ${timeoutMs} ms`)),
        timeoutMs,
      )
      this.#waiting.add(lose)
      if (fault.loseRequest === true || link.loses()) return
      link.toServer(() => {
        const settle = attempt(serve, resolve, reject)
        if (fault.loseAnswer === true || link.loses()) return
        link.toNode(() => end(settle))
      }, fault.laterMs)
    })
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#linkWatch.close()
    this.#loseAll('the handle was closed before the answer came')
  }

  #loseAll(reason: string): void {
    for (const lose of [...this.#waiting]) lose(new RequestLost(true, reason))
  }
}

function attempt<T>(serve: () => T, resolve: (value: T) => void, reject: (error: unknown) => void): () => void {
  try {
    const answer = serve()
    return () => resolve(answer)
  } catch (error) {
    return () => reject(error)
  }
}
