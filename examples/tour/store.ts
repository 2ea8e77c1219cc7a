/** The tour of stores: entries, compare and set, ranges, terms, a snapshot and the watch that goes on from it. */
import { kv } from '../../src/index.ts'
import { withCluster } from '../support/embedded.ts'

interface User {
  readonly name: string
  readonly visits: number
}

const Users = kv<User>('users')

await withCluster([], async (hf) => {
  const users = hf.kv(Users)

  const rev = await users.put('ada', { name: 'Ada', visits: 1 })
  await users.putAll([
    ['bob', { name: 'Bob', visits: 0 }],
    ['cleo', { name: 'Cleo', visits: 7 }],
  ])
  console.log(await users.get('ada'), 'rev', rev)
  console.log(await users.get('nobody'))

  await users.update('ada', { name: 'Ada', visits: 2 }, { rev })
  for await (const { key, value } of users.range({ from: 'a', to: 'c' })) console.log(key, value.visits)

  await users.put('guest', { name: 'Guest', visits: 0 }, { ttl: '5m' })
  console.log(await users.count(), 'users')

  const snapshot = await users.snapshot()
  const mirror = new Map<string, User>()
  for await (const { key, value } of snapshot.entries()) mirror.set(key, value)
  await users.delete('bob')
  for await (const { key, state } of users.watch({ from: snapshot.cursor })) {
    if (state === null) mirror.delete(key)
    else mirror.set(key, state)
    break
  }
  console.log([...mirror.keys()])
})
