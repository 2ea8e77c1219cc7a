/**
 * The settings of a connection to NATS, checked together and made into options of nats.js.
 */
import type { NodeConnectionOptions } from '@nats-io/transport-node'
import { HoldfastError } from '../../protocol/errors.ts'
import { loginOf } from './login.ts'
import { isWellFormedSubject } from './message-check.ts'
import type { NatsSettings } from './settings.ts'
import { tlsOf } from './tls.ts'

const natsDefaults = {
  name: 'holdfast',
  inboxPrefix: '_INBOX',
  connectTimeoutMs: 5_000,
  pingIntervalMs: 2_000,
  reconnectWaitMs: 250,
  reconnectJitterMs: 250,
  appendTimeoutMs: 2_000,
  requestTimeoutMs: 3_000,
  maxBacklogBytes: 64 * 1024 * 1024,
} as const

export interface CheckedSettings {
  readonly inboxPrefix: string
  readonly appendTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly connectTimeoutMs: number
  readonly maxBacklogBytes: number
  /** Without user names and passwords: for messages. */
  readonly servers: readonly string[]
  readonly options: NodeConnectionOptions
}

/** Throws `INVALID` for settings that can never work. */
export function checkSettings(settings: NatsSettings): CheckedSettings {
  const given = typeof settings.servers === 'string' ? settings.servers.split(',') : settings.servers
  if (given.length === 0) throw invalid('`servers` names no NATS server: give at least one, e.g. nats://127.0.0.1:4222')
  const addresses = given.map(parseAddress)
  const all = { ...natsDefaults, ...withoutUndefined(settings) }
  if (!isWellFormedSubject(all.inboxPrefix, false)) {
    throw invalid(`\`inboxPrefix\` ${JSON.stringify(all.inboxPrefix)} is not a subject: write tokens joined by "."`)
  }
  for (const name of numbers) checkNumber(name, all[name])
  const servers = addresses.map((address) => address.host)
  const { tls = addresses.some((address) => address.tls) ? {} : undefined } = settings
  return {
    inboxPrefix: all.inboxPrefix,
    appendTimeoutMs: all.appendTimeoutMs,
    requestTimeoutMs: all.requestTimeoutMs,
    connectTimeoutMs: all.connectTimeoutMs,
    maxBacklogBytes: all.maxBacklogBytes,
    servers,
    options: {
      servers,
      name: all.name,
      timeout: all.connectTimeoutMs,
      // For ever: a node outlives any absence of its server, also one that refuses its credentials for a while.
      maxReconnectAttempts: -1,
      ignoreAuthErrorAbort: true,
      reconnectTimeWait: all.reconnectWaitMs,
      reconnectJitter: all.reconnectJitterMs,
      reconnectJitterTLS: all.reconnectJitterMs,
      pingInterval: all.pingIntervalMs,
      maxPingOut: 2,
      noAsyncTraces: true,
      inboxPrefix: all.inboxPrefix,
      ...loginOf(
        settings,
        addresses.find((address) => address.user !== undefined),
      ),
      ...(tls === undefined ? {} : { tls: tlsOf(tls) }),
    },
  }
}

const numbers = [
  'connectTimeoutMs',
  'pingIntervalMs',
  'reconnectWaitMs',
  'reconnectJitterMs',
  'appendTimeoutMs',
  'requestTimeoutMs',
  'maxBacklogBytes',
] as const

/** Also what a timer can hold. */
const maxNumber = 2 ** 31 - 1

function checkNumber(name: string, value: number): void {
  const least = name.startsWith('reconnect') ? 0 : 1
  if (!Number.isSafeInteger(value) || value < least || value > maxNumber) {
    throw invalid(`\`${name}\` is ${value}: give a whole number from ${least} to ${maxNumber}`)
  }
}

interface Address {
  readonly host: string
  readonly tls: boolean
  readonly user: string | undefined
  readonly password: string | undefined
}

function parseAddress(text: string): Address {
  const [, scheme, userInfo, host] = /^(?:([a-z]+):\/\/)?(?:([^@/]*)@)?([^@/\s]+)\/?$/i.exec(text.trim()) ?? []
  // The text is not in the message: it may hold a password.
  if (host === undefined) throw invalid('an entry of `servers` is not an address: write nats://host:port')
  if (scheme !== undefined && !/^(?:nats|tls)$/i.test(scheme)) {
    throw invalid(`the NATS server ${scheme}://${host} cannot be reached by "${scheme}": use nats:// or tls://`)
  }
  const [, port = ''] = /^(?:\[.*\]|[^:]*):(.*)$/.exec(host) ?? []
  if (!/^\d{0,5}$/.test(port) || Number(port) > 65_535) {
    throw invalid(`the NATS server ${host} has no such port: give one up to 65535 in \`servers\``)
  }
  let user: string | undefined
  let password: string | undefined
  try {
    const colon = userInfo?.indexOf(':') ?? -1
    if (userInfo !== undefined) user = decodeURIComponent(colon < 0 ? userInfo : userInfo.slice(0, colon))
    if (userInfo !== undefined && colon >= 0) password = decodeURIComponent(userInfo.slice(colon + 1))
  } catch {
    throw invalid(`the user or password before ${host} has a broken %-escape: correct it in \`servers\``)
  }
  return { host, tls: scheme?.toLowerCase() === 'tls', user, password }
}

function withoutUndefined<T extends object>(settings: T): Partial<T> {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as Partial<T>
}

const invalid = (message: string) => new HoldfastError('INVALID', message)
