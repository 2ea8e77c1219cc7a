import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { httpAddressOf, openHttpDoor, type HttpDoor, type Page } from '../../src/node/http-door.ts'

const page = (body: string, status = 200): Page => ({ status, type: 'text/plain', body })

let door: HttpDoor | undefined
const sockets: Socket[] = []
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await door?.close()
  door = undefined
})
const open = async (pages: Record<string, () => Page | Promise<Page>> = { '/a': () => page('here') }) =>
  (door = await openHttpDoor({ host: '127.0.0.1', port: 0 }, pages, () => {}))

/** A connection of which every end is in order. */
async function raw({ url }: HttpDoor): Promise<Socket> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  sockets.push(socket)
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

async function restOf(socket: Socket): Promise<string> {
  let text = ''
  socket.setEncoding('utf8').on('data', (piece: string) => (text += piece))
  // Cut off, it may have been reset: `once` would reject.
  await new Promise((resolve) => socket.on('close', resolve))
  return text
}

describe('an address', () => {
  it.each<[number | string, string, number]>([
    [9464, '127.0.0.1', 9464],
    ['9464', '127.0.0.1', 9464],
    [0, '127.0.0.1', 0],
    ['0.0.0.0:80', '0.0.0.0', 80],
    ['localhost:0', 'localhost', 0],
    ['[::1]:9464', '::1', 9464],
  ])('%s', (given, host, port) => {
    expect(httpAddressOf(given)).toEqual({ host, port })
  })

  it.each([-1, 1.5, Number.NaN, 65_536, '', ':9464', 'host', 'host:', '::1:9464', 'http://host:1', 'a:b:1', ' 1'])(
    'is INVALID as %o',
    (given) => {
      expect(() => httpAddressOf(given)).toThrow(expect.objectContaining({ code: 'INVALID' }))
    },
  )
})

describe('the door', () => {
  it('answers GET and HEAD, whatever the query', async () => {
    const { url } = await open()
    const got = await fetch(`${url}/a?b=c`)
    expect([got.status, await got.text(), got.headers.get('cache-control')]).toEqual([200, 'here', 'no-store'])
    const head = await fetch(`${url}/a`, { method: 'HEAD' })
    expect([head.status, await head.text(), head.headers.get('content-length')]).toEqual([200, '', '4'])
  })

  it('changes nothing, and says what there is (D1)', async () => {
    const { url } = await open()
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
      const answer = await fetch(`${url}/a`, { method })
      expect([answer.status, answer.headers.get('allow')], method).toEqual([405, 'GET, HEAD'])
    }
    const lost = await fetch(`${url}/__proto__`)
    expect([lost.status, await lost.text()]).toEqual([404, 'here are /a\n'])
  })

  it('answers 500 where a page cannot be made, and goes on', async () => {
    let fails = true
    const { url } = await open({
      '/a': () => {
        if (fails) throw new Error('not now')
        return page('now')
      },
    })
    const first = await fetch(`${url}/a`)
    expect([first.status, await first.text()]).toEqual([500, 'not now\n'])
    fails = false
    expect(await (await fetch(`${url}/a`)).text()).toBe('now')
  })

  it('makes a page once for all who ask while it is made (D3)', async () => {
    let made = 0
    let finish = () => {}
    let begun = () => {}
    const beginning = new Promise<void>((resolve) => (begun = resolve))
    const { url } = await open({
      '/a': () => {
        made++
        begun()
        return new Promise((resolve) => (finish = () => resolve(page(`${made}`))))
      },
      '/b': () => page('b'),
    })
    const first = fetch(`${url}/a`)
    await beginning
    const second = fetch(`${url}/a`)
    // By then the second has arrived, too.
    await fetch(`${url}/b`)
    await fetch(`${url}/b`)
    finish()
    expect(await Promise.all([first, second].map(async (each) => (await each).text()))).toEqual(['1', '1'])
  })

  it('cuts off who does not finish asking (D2)', async () => {
    const socket = await raw(await open())
    socket.write('GET /a HTTP/1.1\r\nHost: x\r\nX-Slow: ')
    expect(await restOf(socket)).toMatch(/^HTTP\/1\.1 408 /)
  })

  it('refuses a head that is too long (D2)', async () => {
    const socket = await raw(await open())
    socket.write(`GET /a HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(9_000)}\r\n\r\n`)
    expect(await restOf(socket)).toMatch(/^HTTP\/1\.1 431 /)
  })

  it('takes 64 connections (D2)', async () => {
    const the = await open()
    const held = await Promise.all(Array.from({ length: 64 }, () => raw(the)))
    const refused = await raw(the)
    expect(await restOf(refused)).toBe('')
    const gone = once(held[0]!, 'close')
    held[0]!.destroy()
    await gone
    for (;;) {
      const answer = await fetch(`${the.url}/a`).catch(() => undefined)
      if (answer !== undefined) return expect(await answer.text()).toBe('here')
    }
  })

  it('closes with connections that wait', async () => {
    const the = await open({ '/a': () => new Promise(() => {}) })
    const socket = await raw(the)
    socket.write('GET /a HTTP/1.1\r\nHost: x\r\n\r\n')
    const rest = restOf(socket)
    await the.close()
    expect(await rest).toBe('')
    await expect(fetch(`${the.url}/a`)).rejects.toThrow()
  })

  it('says that a port is taken, and that a host is not of this machine', async () => {
    const { port } = new URL((await open()).url)
    await expect(openHttpDoor({ host: '127.0.0.1', port: Number(port) }, {}, () => {})).rejects.toMatchObject({
      code: 'CONFLICT',
    })
    await expect(openHttpDoor({ host: '192.0.2.1', port: 0 }, {}, () => {})).rejects.toMatchObject({ code: 'INVALID' })
  })
})
