/** A shopping cart: input checked by a schema, and a checkout that can be repeated for a day without paying twice. */
import { isHoldfastError } from '../../src/index.ts'
import { withCluster } from '../support/embedded.ts'
import { Cart } from './cart.ts'

await withCluster([Cart], async (hf) => {
  const cart = hf.actor(Cart, 'c1')
  await cart.add({ sku: 'tea', qty: 2, cents: 450 })
  await cart.add({ sku: 'cup', qty: 1, cents: 1_200 })
  console.log('total', await cart.total())

  try {
    await cart.add({ sku: 'tea', qty: -2, cents: 450 })
  } catch (error) {
    if (isHoldfastError(error, 'INVALID')) console.log('refused:', error.path)
  }

  // The browser sends the form twice.
  const once = cart.with({ idempotencyKey: 'form-7f3a' })
  console.log(await once.checkout())
  console.log(await once.checkout())
})
