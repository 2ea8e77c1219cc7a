/** A chat room: whoever watches sees each message once, in order, also one who was away and comes back with a cursor. */
import type { Holdfast } from '../../src/index.ts'
import { withCluster } from '../support/embedded.ts'
import { Room } from './room.ts'

await withCluster([Room], async (hf) => {
  const lobby = hf.actor(Room, 'lobby')
  await lobby.join('ada')
  await lobby.join('bob')
  await lobby.say({ from: 'ada', text: 'hello' })
  const cursor = await listen(hf, 'start', 1)

  await lobby.say({ from: 'bob', text: 'you missed this' })
  await lobby.say({ from: 'ada', text: 'and this' })
  await listen(hf, cursor, 2)

  await lobby.leave('ada')
  await lobby.leave('bob')
  for await (const { rev, state } of lobby.watch({ from: 'start' })) {
    if (state !== null) continue
    console.log('the room was closed at rev', rev)
    break
  }
})

/** Prints so many messages, and resolves to the cursor from which to go on. */
async function listen(hf: Holdfast, from: string, count: number): Promise<string> {
  let heard = 0
  for await (const { state, cursor } of hf.actor(Room, 'lobby').watch({ from })) {
    const last = state?.messages.at(-1)
    if (last === undefined) continue
    console.log(`${last.from}: ${last.text}`)
    if (++heard === count) return cursor
  }
  throw new Error('the watch has ended')
}
