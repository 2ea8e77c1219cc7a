/** The shortest program: an actor type, a node, a client. */
import { actor, connect, createNode } from '../../src/index.ts'

const Counter = actor('counter', {
  version: 1,
  state: () => 0,
  commands: {
    add(ctx, n: number) {
      ctx.state += n
      return ctx.state
    },
  },
  queries: { value: (state) => state },
})

const node = await createNode({ embedded: true, dataDir: process.env.DATA_DIR ?? 'data', actors: [Counter] })
const hf = await connect({ embedded: node.embedded! })

const visits = hf.actor(Counter, 'visits')
console.log('added, and on the disk:', await visits.add(1))
console.log('read:', await visits.value())

await hf.close()
await node.close()
