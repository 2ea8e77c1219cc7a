/**
 * A connection to NATS as the protocol has it, one line for each thing: says at once what the server makes of it.
 *
 * The server answers in order: what it has to say to a line stands before the PONG to the PING behind that line.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { createInterface, type Interface } from 'node:readline'

export class RawConnection {
  readonly #socket: Socket
  readonly #lines: AsyncIterator<string>
  readonly #reader: Interface
  #sid = 0

  static async open(port: number, user: string, pass: string): Promise<RawConnection> {
    const socket = connect({ host: '127.0.0.1', port })
    await once(socket, 'connect')
    const connection = new RawConnection(socket)
    const login = JSON.stringify({ user, pass, verbose: false, pedantic: false, headers: true, no_responders: true })
    const refusals = await connection.#ask(`CONNECT ${login}`)
    if (refusals.length > 0) throw new Error(refusals.join())
    return connection
  }

  private constructor(socket: Socket) {
    this.#socket = socket
    this.#reader = createInterface({ input: socket })
    this.#lines = this.#reader[Symbol.asyncIterator]()
  }

  async mayPublish(subject: string): Promise<boolean> {
    return this.#judge('Publish', subject, await this.#ask(`PUB ${subject} 0\r\n`))
  }

  async maySubscribe(subject: string): Promise<boolean> {
    const sid = ++this.#sid
    return this.#judge('Subscription', subject, await this.#ask(`SUB ${subject} ${sid}\r\nUNSUB ${sid}`))
  }

  close(): void {
    this.#reader.close()
    this.#socket.destroy()
  }

  #judge(operation: string, subject: string, refusals: readonly string[]): boolean {
    const expected = `-ERR 'Permissions Violation for ${operation} to "${subject}"'`
    const other = refusals.find((refusal) => refusal !== expected)
    if (other !== undefined) throw new Error(`${operation} to ${subject}: ${other}`)
    return refusals.length === 0
  }

  /** What the server refuses of these lines. */
  async #ask(lines: string): Promise<readonly string[]> {
    this.#socket.write(`${lines}\r\nPING\r\n`)
    const refusals: string[] = []
    while (true) {
      const { value: line, done } = await this.#lines.next()
      if (done === true) throw new Error(`the server has closed the connection: ${refusals.join()}`)
      if (line === 'PONG') return refusals
      if (line.startsWith('-ERR')) refusals.push(line)
    }
  }
}
