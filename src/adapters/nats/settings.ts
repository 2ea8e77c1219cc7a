/**
 * What an operator can set about the connection to NATS.
 *
 * Settings are data: they are checked together, at once, and never changed. Nothing here must match across nodes but `cluster`
 * and `replicas`. These are types of the public interface: no type of nats.js is in them, so that a program that uses Holdfast need not
 * compile those.
 */
import { HoldfastError } from '../../protocol/errors.ts'

/** At most one of these ways; `user` goes with `password`. */
export interface LoginSettings {
  readonly user?: string
  readonly password?: string
  readonly token?: string
  /** The seed of a user, `SU…`. */
  readonly nkey?: string
  /** Name of a file with such a seed. */
  readonly nkeyFile?: string
  /** The text of a `.creds` file. */
  readonly creds?: string
  /** Name of a `.creds` file. */
  readonly credsFile?: string
}

/** Each of the three is a PEM text (it has a line `-----BEGIN …`), or else the name of a PEM file. */
export interface TlsSettings {
  /** Whom to trust: one certificate or several, one after the other. Default: what Node.js trusts. */
  readonly ca?: string
  /** This process's own certificate, where the server asks for one; with the intermediate ones behind it. Goes with `key`. */
  readonly cert?: string
  /** The private key of `cert`, without a passphrase. */
  readonly key?: string
  /** Begin with TLS, before the server says anything; the server must be set to `handshake_first`. Default false. */
  readonly handshakeFirst?: boolean
}

export interface NatsSettings extends LoginSettings {
  /** `nats://host:port`, `tls://host:port` or `host:port`, one or more of one NATS cluster, in a text joined by `,`; `user:password@` before a host is understood. */
  readonly servers: string | readonly string[]
  /** How this connection is called in the server's monitoring. Default `holdfast`. */
  readonly name?: string
  /** All replies to this process come to subjects under it. Give each user of NATS its own, and the permission to subscribe `<prefix>.>`. Default `_INBOX`. */
  readonly inboxPrefix?: string
  /** Given, even empty, it means: only by TLS, as `tls://` in an address does. */
  readonly tls?: TlsSettings

  /** How long a first connect may take for each server, in ms. Default 5,000. */
  readonly connectTimeoutMs?: number
  /** The server is asked for a sign of life this often, in ms; a connection without one for three times as long is given up. Default 2,000. */
  readonly pingIntervalMs?: number
  /** Least time between two attempts to reach the same server again, in ms. Default 250. */
  readonly reconnectWaitMs?: number
  /** Up to so much is added at random, so that not all nodes come at once, in ms. Default 250. */
  readonly reconnectJitterMs?: number
  /** An append without an answer is `unknown` after so long, in ms. Default 2,000. */
  readonly appendTimeoutMs?: number
  /** Any other question to JetStream is given up after so long, in ms. Default 3,000. */
  readonly requestTimeoutMs?: number
  /** Messages are lost (`message.dropped`, `overflow`) while more than so many bytes wait for the server to read them. Default 64 MiB. */
  readonly maxBacklogBytes?: number
}

export interface LogSettings {
  readonly cluster: string
  /** Copies that the NATS cluster keeps of each log and of the registry, from their creation on: 1, 3 or 5. Default 1. */
  readonly replicas?: number
}

export function checkReplicas(replicas = 1): number {
  if (replicas === 1 || replicas === 3 || replicas === 5) return replicas
  throw new HoldfastError('INVALID', `\`replicas\` is ${replicas}: give 1, 3 or 5`)
}
