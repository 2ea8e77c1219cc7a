import { expect, it } from 'vitest'
import { connectOver } from '../../src/client/connect.ts'
import { connect, createNode, provision } from '../../src/index.ts'

it.each<[name: string, call: (options: never) => Promise<unknown>]>([
  ['connect', connect],
  ['connectOver', (options) => connectOver({} as never, options)],
  ['createNode', createNode],
  ['provision', provision],
])('%s says that it takes options where it is given none', async (name, call) => {
  for (const given of [null, 7, 'nats://127.0.0.1:4222'] as never[]) {
    await expect(call(given)).rejects.toMatchObject({
      code: 'INVALID',
      message: expect.stringContaining(`${name}() takes an object of options`),
    })
  }
})
