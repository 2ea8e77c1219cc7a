/** What a caller does about errors, by their code. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, createNode, isHoldfastError } from '../../src/index.ts'
import { Cart, type Item } from './cart.ts'

const dataDir = await mkdtemp(join(tmpdir(), 'holdfast-tour-'))
const node = await createNode({ embedded: true, cluster: 'shop', dataDir, actors: [Cart] })
const hf = await connect({ embedded: node.embedded!, cluster: 'shop' })
const cart = hf.actor(Cart, 'c1')
const item: Item = { sku: 'tea', qty: 2 }

async function addOnce() {
  const once = cart.with({ idempotencyKey: 'order-17' })
  try {
    return await once.add(item)
  } catch (error) {
    if (!isHoldfastError(error, 'UNKNOWN')) throw error
    return await once.with({ id: error.id, timeout: '30s' }).add(item)
  }
}
console.log('once ', await addOnce())
console.log('again', await addOnce())

await cart.pay()
try {
  await cart.add(item)
} catch (error) {
  if (isHoldfastError(error, 'FAILED')) console.log(error.reason)
  else if (isHoldfastError(error, 'OVERLOADED')) console.log('again in', error.retryAfterMs, 'ms')
  else throw error
}

await hf.close()
await node.close()
await rm(dataDir, { recursive: true })
