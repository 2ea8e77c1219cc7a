/** The tour without a server: one node in this process, everything durable in ./data. */
import { connect, createNode, isHoldfastError } from '../../src/index.ts'
import { Cart } from './cart.ts'

const node = await createNode({ embedded: true, cluster: 'shop', dataDir: './data/node-1', actors: [Cart] })
const hf = await connect({ embedded: node.embedded!, cluster: 'shop' })

const cart = hf.actor(Cart, 'c1')
console.log('add  ', await cart.add({ sku: 'tea', qty: 2 }))
console.log('count', await cart.count())
await cart.tell.add({ sku: 'cup', qty: 1 })
console.log('count', await cart.count())

await cart.pay()
try {
  await cart.add({ sku: 'jam', qty: 1 })
} catch (error) {
  if (isHoldfastError(error)) console.log(error.code, '-', error.message)
}

let cursor = ''
for await (const change of cart.watch({ from: 'start' })) {
  console.log('seen  rev', change.rev, JSON.stringify(change.state))
  cursor = change.cursor
  if (change.rev === 2) break
}
for await (const change of cart.watch({ from: cursor })) {
  console.log('later rev', change.rev, JSON.stringify(change.state))
  break
}

await hf.close()
await node.close()

const again = await createNode({ embedded: true, cluster: 'shop', dataDir: './data/node-1', actors: [Cart] })
const client = await connect({ embedded: again.embedded!, cluster: 'shop' })
console.log('after a restart', await client.actor(Cart, 'c1').count())
await client.close()
await again.close()
