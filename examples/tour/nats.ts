/** The tour on a NATS server: one node, which runs until it is told to stop. Start as many as you like, each with a directory of its own. */
import { once } from 'node:events'
import { createNode } from '../../src/index.ts'
import { Cart } from './cart.ts'

const node = await createNode({
  servers: process.env['NATS_URL'] ?? 'nats://127.0.0.1:4222',
  cluster: 'shop',
  dataDir: './data/node-1',
  actors: [Cart],
})
console.log('the node is up')

await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
await node.drain()
await node.close()
