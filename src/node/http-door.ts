/**
 * A door for supervisors and Prometheus: a few pages over HTTP, to be read.
 *
 * D1. It answers GET and HEAD, to paths that are known; a body is not read. Nothing can be changed through it.
 * D2. Bounded: connections, the head of a request, the time for it to arrive and for an answer to be taken. Who goes beyond is cut off.
 * D3. A page that is asked for while it is being made is made once.
 * D4. It has no users and no TLS: on loopback, unless the address says otherwise.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { HoldfastError, messageOf } from '../protocol/errors.ts'
import { listen, portOf } from './listening.ts'

export interface Page {
  readonly status: number
  readonly type: string
  readonly body: string
}

export interface HttpDoor {
  /** `http://host:port`, with the port that it has. */
  readonly url: string
  /** Ends all connections. */
  close(): Promise<void>
}

export interface HttpAddress {
  readonly host: string
  /** 0: any that is free. */
  readonly port: number
}

const loopback = '127.0.0.1'
const maxConnections = 64
const maxHeaderBytes = 8 * 1_024
const arriveWithinMs = 5_000
const takenWithinMs = 10_000
const lookEveryMs = 1_000

/** Of `9464`, `'9464'`, `'127.0.0.1:9464'`, `'[::1]:9464'`: without a host it is loopback. Throws `INVALID`. */
export function httpAddressOf(given: number | string): HttpAddress {
  const [, host, bracketed, digits] = /^(?:(?:\[([^\]]+)\]|([^:[\]]+)):)?(\d{1,5})$/.exec(String(given)) ?? []
  const port = Number(digits)
  if (digits === undefined || port > 65_535) {
    throw new HoldfastError('INVALID', `http: give a port, or host:port such as 127.0.0.1:9464, not "${given}"`)
  }
  return { host: host ?? bracketed ?? loopback, port }
}

/**
 * `pages` by their paths; `onTrouble`: LI2. Rejects with `CONFLICT` where the port is taken, `INVALID` where the host is not this machine's.
 */
export async function openHttpDoor(
  { host, port }: HttpAddress,
  pages: Readonly<Record<string, () => Page | Promise<Page>>>,
  onTrouble: (reason: string) => void,
): Promise<HttpDoor> {
  const once = new Map(Object.entries(pages).map(([path, make]) => [path, shared(make)]))
  const paths = [...once.keys()].join(' ')
  const answer = async ({ method, url = '' }: IncomingMessage): Promise<Page> => {
    if (method !== 'GET' && method !== 'HEAD') return plain(405, 'it can be read only')
    const page = once.get(url.split('?', 1)[0]!)
    return page === undefined ? plain(404, `here are ${paths}`) : page()
  }
  const server = createServer(
    {
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: arriveWithinMs,
      requestTimeout: arriveWithinMs,
      keepAliveTimeout: arriveWithinMs,
      connectionsCheckingInterval: lookEveryMs,
    },
    (request, response) => {
      request.resume()
      answer(request).then(
        (page) => send(request, response, page),
        (error: unknown) => send(request, response, plain(500, messageOf(error))),
      )
    },
  )
  server.maxConnections = maxConnections
  server.timeout = takenWithinMs
  await listen(server, { host, port }, onTrouble).catch((cause: NodeJS.ErrnoException) => {
    const [code, why] =
      cause.code === 'EADDRINUSE'
        ? (['CONFLICT', 'it is taken: give another port'] as const)
        : (['INVALID', `${messageOf(cause)}: give an address of this machine`] as const)
    throw new HoldfastError(code, `http: ${urlOf(host, port)} cannot be opened: ${why}`, { cause })
  })
  return {
    url: urlOf(host, portOf(server)),
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
    },
  }
}

/** D3 */
function shared(make: () => Page | Promise<Page>): () => Promise<Page> {
  let making: Promise<Page> | undefined
  return () => {
    making ??= Promise.resolve()
      .then(make)
      .finally(() => {
        making = undefined
      })
    return making
  }
}

function send({ method }: IncomingMessage, response: ServerResponse, { status, type, body }: Page): void {
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    ...(status === 405 ? { Allow: 'GET, HEAD' } : {}),
  })
  response.end(method === 'HEAD' ? undefined : body)
}

const plain = (status: number, text: string): Page => ({
  status,
  type: 'text/plain; charset=utf-8',
  body: `${text}\n`,
})

const urlOf = (host: string, port: number) => `http://${host.includes(':') ? `[${host}]` : host}:${port}`
