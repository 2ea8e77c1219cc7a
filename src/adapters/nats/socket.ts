/**
 * The TCP or TLS socket of a connection: nats.js's own, with five of its gaps closed.
 *
 * K1. A dial that was given up closes its socket. nats.js leaves it open where the server accepts and then says nothing, and
 *     the process would never end.
 * K2. A stale connection is destroyed at once. nats.js first waits until all is written, which a server that hangs never
 *     lets happen: the connection would stay "connected" for ever, and what is published would pile up.
 * K8. A server that is given by its IP address shows a certificate for that address. nats.js would have it be for "localhost".
 * K9. What ended a socket is told, and nats.js knows of a time-out only: a server that does not like a client's certificate says so when
 *     the handshake is over for the client. What it says may be lost on the way; that it asked for a certificate, and then ended the
 *     connection without another word, is enough.
 * K12. Once the link is closed nothing is dialled any more. nats.js looks between two servers only: closed while it asks for the addresses
 *     of one, it would connect to them, and nobody would own that connection.
 *
 * nats.js makes its sockets by one factory for the whole process; `useHeldSockets` is called before each first connect. Another
 * user of nats.js in this process may put the factory back: then K1 and K2 are as in nats.js, and `backlogOf` says 0.
 */
import {
  errors,
  NatsConnectionImpl,
  setTransportFactory,
  type ConnectionOptions,
  type NatsConnection,
  type ServerInfo,
} from '@nats-io/transport-node'
import { NodeTransport, nodeResolveHost } from '@nats-io/transport-node/lib/node_transport.js'

export interface HeldOptions extends ConnectionOptions {
  /** Hears of each error that ended a socket (K9). */
  readonly onSocketError?: (error: Error) => void
  /** Asked before and after each dial (K12). */
  readonly isClosed?: () => boolean
}

class HeldSocket extends NodeTransport {
  /** Bytes that wait in this process for the server to read. */
  get backlog(): number {
    return this.connected && !this.done ? this.socket.writableLength : 0
  }

  #asksForCertificate = false

  override async connect(
    server: { hostname: string; port: number; tlsName: string },
    options: HeldOptions,
  ): Promise<void> {
    const { tls, onSocketError } = options
    this.#checkOpen(options)
    void this.closed().then((error) => {
      if (error instanceof Error) onSocketError?.(error)
    })
    const byAddress = server.tlsName === '' && typeof tls === 'object' && tls !== null
    await super.connect(
      server,
      byAddress ? { ...options, tls: Object.assign({ host: server.hostname }, tls) } : options,
    )
    this.#checkOpen(options)
    if (this.#asksForCertificate && onSocketError !== undefined) this.#awaitFirstWord(onSocketError)
  }

  override async peekInfo(): Promise<ServerInfo> {
    const info = await super.peekInfo()
    this.#asksForCertificate = info.tls_verify === true
    return info
  }

  /** K12 */
  #checkOpen({ isClosed }: HeldOptions): void {
    if (isClosed?.() !== true) return
    this.discard()
    throw new errors.ClosedConnectionError()
  }

  /** K9 */
  #awaitFirstWord(onSocketError: (error: Error) => void): void {
    const { socket } = this
    const refused = () => onSocketError(new Error('certificate required, or another one'))
    if (socket.destroyed) return refused()
    socket.once('close', refused)
    socket.once('data', () => socket.off('close', refused))
  }

  override disconnect(): void {
    if (this.connected && !this.done) this.socket.destroy()
    else super.disconnect()
  }

  override close(error?: Error): Promise<void> {
    if (this.connected) return super.close(error)
    this.discard()
    return Promise.resolve()
  }
}

export function useHeldSockets(): void {
  setTransportFactory({ factory: () => new HeldSocket(), dnsResolveFn: nodeResolveHost })
}

export function backlogOf(connection: NatsConnection): number {
  if (!(connection instanceof NatsConnectionImpl)) return 0
  const { transport } = connection.protocol
  return transport instanceof HeldSocket ? transport.backlog : 0
}

/** How bytes of the protocol get into a connection, in order with all else that nats.js has to say on it. */
export function senderOf(connection: NatsConnection): (bytes: Uint8Array) => void {
  if (!(connection instanceof NatsConnectionImpl)) throw new TypeError('this is not a connection of nats.js')
  const { protocol } = connection
  return (bytes) => protocol.sendCommand(bytes)
}
