/** Connects a client over given ports. */
import { HoldfastError } from '../protocol/errors.ts'
import { optionsOf } from '../protocol/options.ts'
import { subjectsOf } from '../protocol/subjects.ts'
import { durationMs, type Duration } from '../protocol/duration.ts'
import { Holdfast } from './holdfast.ts'
import type { ClientPorts } from './ports.ts'
import { Session } from './session.ts'

export interface ClientOptions {
  /** Name of the cluster. */
  readonly cluster: string
  /** How long a call waits for its reply, attempts included, unless it says so itself. Default `'10s'`. */
  readonly timeout?: Duration
  /** How long to wait for the first node to answer. Default `'10s'`. */
  readonly connectTimeout?: Duration
  /** Most calls that may have no answer yet; those beyond are `OVERLOADED`. Default 65,536. */
  readonly maxOutstanding?: number
  /** Most bytes of their inputs, likewise. Default 256 MiB. */
  readonly maxOutstandingBytes?: number
}

/**
 * Resolves once a node has told who owns what. Rejects with `TIMEOUT` when none does in time, and `INVALID` for options that cannot be.
 */
export async function connectOver(ports: ClientPorts, options: ClientOptions): Promise<Holdfast> {
  try {
    return await connected(ports, options)
  } catch (error) {
    await ports.release?.()
    throw error
  }
}

async function connected(ports: ClientPorts, options: ClientOptions): Promise<Holdfast> {
  optionsOf(options, 'connectOver()')
  const { cluster, timeout = '10s', connectTimeout = '10s', maxOutstanding, maxOutstandingBytes } = options
  for (const [name, limit] of Object.entries({ maxOutstanding, maxOutstandingBytes })) {
    if (limit === undefined || (Number.isSafeInteger(limit) && limit >= 1)) continue
    throw new HoldfastError('INVALID', `${name} is a whole number from 1`)
  }
  const timeoutMs = durationMs(timeout, 'timeout')
  const connectTimeoutMs = durationMs(connectTimeout, 'connectTimeout')
  const subjects = subjectsOf(cluster)
  const session = new Session(ports, {
    cluster,
    timeoutMs,
    ...(maxOutstanding === undefined ? {} : { maxOutstanding }),
    ...(maxOutstandingBytes === undefined ? {} : { maxOutstandingBytes }),
  })
  const refused = new Promise<HoldfastError>((resolve) => {
    // What it needs at its start it needs for good.
    ports.onDenied?.((_, reason) => resolve(new HoldfastError('INVALID', reason)))
  })
  const { clock } = ports
  const timer = clock.setTimeout(() => session.close(), connectTimeoutMs)
  let refusal: HoldfastError | void
  try {
    refusal = await Promise.race([session.whenPlaced(), refused])
  } catch (cause) {
    const message = `no node of the cluster "${cluster}" answered within ${connectTimeoutMs} ms: is its name right, and does a node run?`
    throw new HoldfastError('TIMEOUT', message, { cause })
  } finally {
    clock.clearTimeout(timer)
  }
  if (refusal !== undefined) {
    session.close()
    throw refusal
  }
  return new Holdfast({ ...ports, session, subjects })
}
