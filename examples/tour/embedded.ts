/** The tour without a server: a node and its client in this process, durable in a directory. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, createNode, isHoldfastError } from '../../src/index.ts'
import { Cart } from './cart.ts'

const dataDir = await mkdtemp(join(tmpdir(), 'holdfast-tour-'))

const node = await createNode({ embedded: true, cluster: 'shop', dataDir, actors: [Cart] })
const hf = await connect({ embedded: node.embedded!, cluster: 'shop' })

const cart = hf.actor(Cart, 'c1')
console.log('add  ', await cart.add({ sku: 'tea', qty: 2 }))
console.log('count', await cart.count())

const first = await cart.measured.count()
const near = cart.with({ maxStaleness: '5s', after: first.cursor })
const { value, ageMs } = await near.measured.count()
console.log('near ', value, ageMs <= 5_000)

await cart.tell.add({ sku: 'cup', qty: 1 })
console.log('count', await cart.count())

const once = cart.with({ idempotencyKey: 'order-17', timeout: '2s' })
console.log('once ', await once.add({ sku: 'jam', qty: 1 }))
console.log('again', await once.add({ sku: 'jam', qty: 1 }))

await cart.pay()
try {
  await cart.add({ sku: 'mug', qty: 1 })
} catch (error) {
  if (isHoldfastError(error)) console.log(error.code, '-', error.reason)
}

let cursor = ''
for await (const change of cart.watch({ from: 'start' })) {
  console.log(
    'rev',
    change.rev,
    change.state?.items.map(({ sku }) => sku),
  )
  cursor = change.cursor
  if (change.rev === 2) break
}

console.log('…and later, from the cursor:')
for await (const change of cart.watch({ from: cursor })) {
  console.log(
    'rev',
    change.rev,
    change.state?.items.map(({ sku }) => sku),
  )
  if (change.state?.paid) break
}

await hf.close()
await node.close()

const reborn = await createNode({ embedded: true, cluster: 'shop', dataDir, actors: [Cart] })
const client = await connect({ embedded: reborn.embedded!, cluster: 'shop' })
console.log('after a restart:', await client.actor(Cart, 'c1').count())

await client.close()
await reborn.close()
await rm(dataDir, { recursive: true })
