/** What the tests of the NATS adapters share: parts on the real clock, and a wire that can be cut. */
import { once } from 'node:events'
import { createServer, connect, type Server, type Socket } from 'node:net'
import { SystemClock } from '../../src/adapters/system/clock.ts'
import { SystemRandom } from '../../src/adapters/system/random.ts'
import type { NatsParts } from '../../src/adapters/nats/link.ts'
import type { HoldfastEvent } from '../../src/ports/observer.ts'
import type { Transport, TransportStatus } from '../../src/ports/transport.ts'

/** Reconnects fast, and is patient with a busy machine: no test waits for these time-outs. */
export const quick = {
  reconnectWaitMs: 50,
  reconnectJitterMs: 0,
  connectTimeoutMs: 15_000,
  appendTimeoutMs: 15_000,
  requestTimeoutMs: 15_000,
} as const

export interface WatchedParts extends NatsParts {
  readonly events: HoldfastEvent[]
  /** Resolves with the first event, past or to come, that is meant. */
  seen(meant: (event: HoldfastEvent) => boolean): Promise<HoldfastEvent>
}

export function makeParts(): WatchedParts {
  const events: HoldfastEvent[] = []
  const waiting = new Set<() => void>()
  return {
    clock: new SystemClock(),
    random: new SystemRandom(),
    events,
    observer: {
      emit(event) {
        events.push(event)
        for (const wake of waiting) wake()
      },
    },
    async seen(meant) {
      let found = events.find(meant)
      while (found === undefined) {
        await new Promise<void>((resolve) => {
          const wake = () => {
            waiting.delete(wake)
            resolve()
          }
          waiting.add(wake)
        })
        found = events.find(meant)
      }
      return found
    },
  }
}

/** Resolves at the transport's next change to `status`, at once if it is there. */
export async function becomes(transport: Transport, status: TransportStatus): Promise<void> {
  if (transport.connected === (status === 'connected')) return
  await new Promise<void>((resolve) => {
    const watch = transport.onStatus((now) => {
      if (now !== status) return
      watch.close()
      resolve()
    })
  })
}

/** Asks a server something that the adapters never ask. */
export async function ask(transport: Transport, subject: string, body?: unknown): Promise<Record<string, unknown>> {
  const inbox = transport.inbox()
  const data = body === undefined ? new Uint8Array() : new TextEncoder().encode(JSON.stringify(body))
  const answer = await new Promise<Uint8Array>((resolve) => {
    const replies = transport.subscribe(inbox, (message) => {
      replies.close()
      resolve(message.data)
    })
    transport.publish(subject, data, { reply: inbox })
  })
  return JSON.parse(new TextDecoder().decode(answer)) as Record<string, unknown>
}

/** Stores a message with this block of headers, which a client of NATS need not let pass. */
export async function addRaw(port: number, subject: string, block: string, data: string): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port })
  const [head, all] = [Buffer.byteLength(block), Buffer.byteLength(block + data)]
  socket.write('CONNECT {"verbose":false,"headers":true}\r\nSUB raw 1\r\n')
  socket.write(`HPUB ${subject} raw ${head} ${all}\r\n${block}${data}\r\n`)
  let said = ''
  for await (const part of socket) {
    said += String(part)
    if (said.includes('"seq":')) break
  }
  if (!said.includes('"seq":')) throw new Error(`the server did not store it: ${said}`)
}

/** A port of its own that passes all bytes to a server, until told otherwise. */
export class Wire {
  readonly url: string
  readonly #server: Server
  readonly #target: number
  readonly #sockets = new Set<Socket>()
  /** Both ends of each connection, in the order in which they were made. */
  readonly #pairs: (readonly [Socket, Socket])[] = []
  #cut = false
  #hung = false
  #rewrite: ((text: string) => string) | undefined
  #heldFrom: string | undefined
  #holds = 0

  private constructor(server: Server, target: number) {
    this.#server = server
    this.#target = target
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
    this.url = `nats://127.0.0.1:${address.port}`
    server.on('connection', (socket) => this.#pass(socket))
  }

  static async to(port: number): Promise<Wire> {
    const server = createServer({ pauseOnConnect: false })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new Wire(server, port)
  }

  /** Breaks the connections that there are, and refuses new ones. */
  cut(): void {
    this.#cut = true
    for (const socket of this.#sockets) socket.destroy()
  }

  mend(): void {
    this.#cut = false
    this.#hung = false
    for (const socket of this.#sockets) socket.resume()
  }

  /** Connections stay, new ones are taken, and nothing passes. */
  hang(): void {
    this.#hung = true
    for (const socket of this.#sockets) socket.pause()
  }

  /** As `hang`, of the connection that was made first. */
  hangFirst(): void {
    for (const socket of this.#pairs[0] ?? []) socket.pause()
  }

  /** Alters what comes from the server, Latin-1, in pieces as they come; the length must stay. */
  rewrite(change: (text: string) => string): void {
    this.#rewrite = change
  }

  /** What comes from the server is held from `mark` on, Latin-1, until the other end has sent something. */
  holdFrom(mark: string): void {
    this.#heldFrom = mark
  }

  /** How often that was so. */
  get holds(): number {
    return this.#holds
  }

  async close(): Promise<void> {
    this.cut()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #pass(near: Socket): void {
    if (this.#cut) {
      near.destroy()
      return
    }
    const far = connect({ host: '127.0.0.1', port: this.#target })
    this.#pairs.push([near, far])
    let held = Buffer.alloc(0)
    near.on('data', (data: Buffer) => {
      far.write(data)
      near.write(held)
      held = Buffer.alloc(0)
    })
    far.on('data', (data: Buffer) => {
      const said = this.#rewrite === undefined ? data : Buffer.from(this.#rewrite(data.toString('latin1')), 'latin1')
      const mark = this.#heldFrom === undefined ? -1 : said.indexOf(this.#heldFrom, 0, 'latin1')
      if (mark !== -1) this.#holds++
      const passes = held.length > 0 ? 0 : mark === -1 ? said.length : mark
      near.write(said.subarray(0, passes))
      held = Buffer.concat([held, said.subarray(passes)])
    })
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from)
      from.setNoDelay(true)
      if (this.#hung) from.pause()
      from.on('error', () => {})
      from.on('close', () => {
        this.#sockets.delete(from)
        to.destroy()
      })
    }
  }
}
