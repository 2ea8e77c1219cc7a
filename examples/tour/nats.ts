/** The tour on a NATS server: a node that runs until it is told to stop. Start as many as you like, each with a directory of its own. */
import { once } from 'node:events'
import { createNode } from '../../src/index.ts'
import { Cart } from './cart.ts'

const { NATS_URL: servers = 'nats://127.0.0.1:4222', DATA_DIR: dataDir = './data/node-1' } = process.env

const node = await createNode({ servers, cluster: 'shop', dataDir, actors: [Cart] })
console.log('a node of the cluster shop is up')

await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
await node.drain()
await node.close()
