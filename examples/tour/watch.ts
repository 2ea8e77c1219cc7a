/** The tour of watches: of a keyed actor, a type, a prefix and stores; a watcher that comes back, and one that keeps a copy. */
import { kv, type Holdfast } from '../../src/index.ts'
import { withCluster } from '../support/embedded.ts'
import { Cart } from './cart.ts'

interface User {
  readonly name: string
}

const Users = kv<User>('users')

await withCluster([Cart], async (hf) => {
  const cart = hf.actor(Cart, 'eu/c1')
  await cart.add({ sku: 'tea', qty: 2 })
  await cart.pay()

  let cursor = 'start'
  for await (const change of cart.watch({ from: cursor })) {
    console.log(change.key, 'rev', change.rev, change.state?.paid)
    cursor = change.cursor
    break
  }

  console.log('…and later, from the cursor:')
  for await (const { key, rev, state } of cart.watch({ from: cursor })) {
    console.log(key, 'rev', rev, state?.paid)
    break
  }

  const users = hf.kv(Users)
  const watches = [
    hf.watch(Cart), // all of a type
    hf.watch(Cart, { prefix: 'eu/' }), // those whose keys begin so
    users.watch(), // a whole store
    users.watch({ prefix: 'a' }),
    users.watch({ key: 'ada' }),
  ]
  for (const watch of watches) watch.close()

  await users.putAll([
    ['ada', { name: 'Ada' }],
    ['bob', { name: 'Bob' }],
  ])
  await users.delete('bob')
  console.log(await copied(hf))
})

/** A copy, as of the three changes above. */
async function copied(hf: Holdfast): Promise<readonly string[]> {
  const users = hf.kv(Users)
  let changes = 0
  const copy = new Map<string, User>()
  const watch = users.watch({
    from: 'start',
    onReset: ({ covers }) => {
      for (const key of copy.keys()) if (covers(key)) copy.delete(key)
    },
  })
  for await (const { key, state, deleted } of watch) {
    if (deleted) copy.delete(key)
    else if (state !== null) copy.set(key, state)
    if (++changes === 3) break
  }
  return [...copy.keys()]
}
