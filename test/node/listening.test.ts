/** A server that goes on, whatever happens to it after it has begun (LI1, LI2). */
import { once } from 'node:events'
import { connect, createServer, type Server } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { listen, portOf } from '../../src/node/listening.ts'

const anywhere = { host: '127.0.0.1', port: 0 }
const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})
const made = (): Server => {
  const server = createServer((socket) => socket.on('error', () => {}).end('here'))
  servers.push(server)
  return server
}
const full = () => Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' })

it('rejects with the error of the system where the port is taken', async () => {
  const [first, second] = [made(), made()]
  await listen(first, anywhere, () => {})
  await expect(listen(second, { ...anywhere, port: portOf(first) }, () => {})).rejects.toMatchObject({
    code: 'EADDRINUSE',
  })
})

it('goes on where a connection could not be taken, and tells it once until the next one was', async () => {
  const told: string[] = []
  const server = made()
  await listen(server, anywhere, (reason) => told.push(reason))
  for (let times = 0; times < 3; times++) server.emit('error', full())
  expect(told).toEqual(['accept EMFILE'])
  const socket = connect(portOf(server), anywhere.host)
  expect(String((await once(socket, 'data'))[0])).toBe('here')
  socket.destroy()
  server.emit('error', full())
  expect(told).toEqual(['accept EMFILE', 'accept EMFILE'])
})
