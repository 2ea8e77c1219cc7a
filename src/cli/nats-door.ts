/**
 * A door to an embedded cluster: a server on loopback that speaks the core of the NATS protocol, so that the command line, and any NATS
 * client of any language, can call what runs inside one process. It has no JetStream, no users and no TLS: for a laptop, not for a network.
 *
 * D1. Each connection has a transport of its own on the embedded server; what ends the one ends the other.
 * D2. What is not the protocol ends the connection, with the reason in `-ERR`, as a NATS server does.
 * D3. Bounded: a control line, a payload, the connections, and the bytes that a client does not read; who goes beyond is cut off.
 */
import { createServer, type Socket } from 'node:net'
import { listen, portOf } from '../node/listening.ts'
import type { Headers, Message, Subscription, Transport } from '../ports/transport.ts'
import { HoldfastError, messageOf } from '../protocol/errors.ts'

/** Clients tell by it what a server can; of the core protocol this one can what that version can. */
const spokenVersion = '2.12.0'
const host = '127.0.0.1'
/** By which a client knows what it has before it. */
export const doorName = 'holdfast-embedded'
const maxLineBytes = 4_096
const maxConnections = 256
const maxBacklogBytes = 64 * 1_024 * 1_024
const maxSubscriptions = 10_000

export interface NatsDoor {
  readonly port: number
  /** Ends all connections. */
  close(): Promise<void>
}

/** `port` 0: any. `connect` gives a transport for each connection. Rejects with `CONFLICT` where the port is taken. `onTrouble`: LI2. */
export async function openNatsDoor(
  port: number,
  connect: () => Transport,
  onTrouble: (reason: string) => void,
): Promise<NatsDoor> {
  const sockets = new Set<Socket>()
  let clients = 0
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => socket.destroy())
    socket.setNoDelay(true)
    if (sockets.size > maxConnections) return void socket.end("-ERR 'maximum connections exceeded'\r\n")
    new Guest(socket, connect()).greet(++clients, portOf(server))
  })
  await listen(server, { host, port }, onTrouble).catch((cause: NodeJS.ErrnoException) => {
    const why = cause.code === 'EADDRINUSE' ? 'is taken' : `cannot be opened (${cause.message})`
    throw new HoldfastError('CONFLICT', `port ${port} of ${host} ${why}: give another one with --port`, { cause })
  })
  return {
    port: portOf(server),
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

interface Listening {
  readonly subscription: Subscription
  /** Messages until it ends by itself; `undefined`: never. */
  left: number | undefined
}

/** A message whose payload has not come yet. */
interface Announced {
  readonly subject: string
  readonly reply: string | undefined
  readonly headerBytes: number
  readonly bytes: number
}

/** One connection. */
class Guest {
  readonly #socket: Socket
  readonly #transport: Transport
  readonly #listening = new Map<string, Listening>()
  #pieces: Buffer = Buffer.alloc(0)
  #announced: Announced | undefined
  #verbose = false
  #wantsNoResponders = false

  constructor(socket: Socket, transport: Transport) {
    this.#socket = socket
    this.#transport = transport
    socket.on('data', (piece: Buffer) => this.#read(piece))
    socket.on('close', () => void transport.close())
  }

  greet(client: number, port: number): void {
    const info = {
      ...{ server_id: doorName, server_name: doorName, version: spokenVersion, proto: 1, host, port },
      ...{ headers: true, jetstream: false, max_payload: this.#transport.maxPayload, client_id: client },
    }
    this.#send(`INFO ${JSON.stringify(info)}\r\n`)
  }

  #read(piece: Buffer): void {
    this.#pieces = this.#pieces.length === 0 ? piece : Buffer.concat([this.#pieces, piece])
    try {
      while (!this.#socket.destroyed && this.#step());
    } catch (error) {
      this.#refuse(messageOf(error))
    }
  }

  /** One line, or one payload; false where it is not there yet. */
  #step(): boolean {
    if (this.#announced !== undefined) return this.#payload(this.#announced)
    const end = this.#pieces.indexOf('\r\n')
    if (end > maxLineBytes || (end < 0 && this.#pieces.length > maxLineBytes))
      throw new Error('maximum control line exceeded')
    if (end < 0) return false
    const line = this.#pieces.toString('utf8', 0, end)
    this.#pieces = this.#pieces.subarray(end + 2)
    this.#obey(line)
    return true
  }

  #obey(line: string): void {
    const [verb = '', ...words] = line.trim().split(/\s+/)
    switch (verb.toUpperCase()) {
      case 'PING':
        return this.#send('PONG\r\n')
      case 'PONG':
      case '':
        return
      case 'CONNECT': {
        const wishes = JSON.parse(line.trim().slice(verb.length)) as Record<string, unknown>
        this.#verbose = wishes['verbose'] === true
        this.#wantsNoResponders = wishes['no_responders'] === true && wishes['headers'] === true
        return this.#ok()
      }
      case 'PUB':
        return this.#announce(words, false)
      case 'HPUB':
        return this.#announce(words, true)
      case 'SUB':
        return this.#subscribe(words)
      case 'UNSUB':
        return this.#unsubscribe(words)
      default:
        throw new Error('unknown protocol operation')
    }
  }

  #announce(words: readonly string[], withHeaders: boolean): void {
    const numbers = withHeaders ? 2 : 1
    const subject = words[0]
    if (subject === undefined || words.length < 1 + numbers || words.length > 2 + numbers)
      throw new Error('bad publish')
    const [headerBytes, bytes] = (withHeaders ? words.slice(-2) : ['0', words.at(-1)!]).map(count) as [number, number]
    if (bytes > this.#transport.maxPayload || headerBytes > bytes) throw new Error('maximum payload violation')
    this.#announced = { subject, reply: words.length === 2 + numbers ? words[1] : undefined, headerBytes, bytes }
  }

  #payload({ subject, reply, headerBytes, bytes }: Announced): boolean {
    if (this.#pieces.length < bytes + 2) return false
    const headers = headerBytes === 0 ? undefined : headersFrom(this.#pieces.toString('utf8', 0, headerBytes))
    const data = this.#pieces.subarray(headerBytes, bytes)
    if (this.#pieces.toString('latin1', bytes, bytes + 2) !== '\r\n') throw new Error('bad payload')
    this.#transport.publish(subject, data, {
      ...(reply === undefined ? {} : { reply }),
      ...(headers === undefined ? {} : { headers }),
    })
    this.#pieces = this.#pieces.subarray(bytes + 2)
    this.#announced = undefined
    this.#ok()
    return true
  }

  #subscribe(words: readonly string[]): void {
    const [subject, sid] = [words[0], words.at(-1)]
    if (subject === undefined || sid === undefined || words.length < 2 || words.length > 3)
      throw new Error('bad subscription')
    if (this.#listening.size >= maxSubscriptions) throw new Error('maximum subscriptions exceeded')
    const queue = words.length === 3 ? words[1] : undefined
    const subscription = this.#transport.subscribe(
      subject,
      (message) => this.#deliver(sid, message),
      queue === undefined ? {} : { queue },
    )
    this.#listening.get(sid)?.subscription.close()
    this.#listening.set(sid, { subscription, left: undefined })
    this.#ok()
  }

  #unsubscribe([sid, most]: readonly string[]): void {
    const listening = this.#listening.get(sid ?? '')
    if (listening !== undefined && sid !== undefined) {
      if (most === undefined || count(most) === 0) this.#end(sid, listening)
      else listening.left = count(most)
    }
    this.#ok()
  }

  #end(sid: string, { subscription }: Listening): void {
    subscription.close()
    this.#listening.delete(sid)
  }

  #deliver(sid: string, { subject, reply, headers, data, noResponders }: Message): void {
    const listening = this.#listening.get(sid)
    if (listening === undefined || (noResponders && !this.#wantsNoResponders)) return
    const block = noResponders ? 'NATS/1.0 503\r\n\r\n' : headers === undefined ? '' : blockOf(headers)
    const address = [subject, sid, ...(reply === undefined ? [] : [reply])].join(' ')
    const headerBytes = Buffer.byteLength(block)
    const total = headerBytes + data.length
    const line = block === '' ? `MSG ${address} ${total}\r\n` : `HMSG ${address} ${headerBytes} ${total}\r\n`
    this.#send(Buffer.concat([Buffer.from(line + block), data, Buffer.from('\r\n')]))
    if (listening.left !== undefined && --listening.left <= 0) this.#end(sid, listening)
  }

  #ok(): void {
    if (this.#verbose) this.#send('+OK\r\n')
  }

  #send(bytes: string | Buffer): void {
    if (this.#socket.destroyed) return
    this.#socket.write(bytes)
    if (this.#socket.writableLength > maxBacklogBytes) this.#refuse('slow consumer')
  }

  /** D2 */
  #refuse(reason: string): void {
    if (!this.#socket.destroyed) this.#socket.end(`-ERR '${reason.replaceAll(/['\r\n]/g, ' ')}'\r\n`)
    this.#socket.pause()
    void this.#transport.close()
  }
}

function count(text: string): number {
  if (!/^[0-9]{1,10}$/.test(text)) throw new Error('bad number')
  return Number(text)
}

function headersFrom(block: string): Headers {
  const [version, ...lines] = block.split('\r\n')
  if (version?.startsWith('NATS/1.0') !== true) throw new Error('bad headers')
  return Object.fromEntries(
    lines
      .filter((line) => line !== '')
      .map((line) => {
        const colon = line.indexOf(':')
        if (colon < 1) throw new Error('bad header')
        return [line.slice(0, colon), line.slice(colon + 1).trim()]
      }),
  )
}

const blockOf = (headers: Headers): string =>
  ['NATS/1.0', ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n')
