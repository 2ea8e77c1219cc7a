/** A short version of bench/overload: a node process on a real nats-server, asked for several times what it can do. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openLoop } from '../../bench/overload/open-loop.ts'
import { Tally } from '../../bench/overload/tally.ts'
import { hotKey, keysOf, Work } from '../../bench/overload/work.ts'
import { connect, type Holdfast } from '../../src/index.ts'
import { importOf, runChild, untilTold, type Child } from '../support/child.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'

/** There is room for 1,250 commands: a machine that does a tenth of that beside others still shows what is asked. */
const forMs = 5_000
/** A command computes for four milliseconds: that is many times what a node can do, also on a fast machine. */
const rate = 5_000

let folder: string
let server: TestServer
let node: Child
let hf: Holdfast

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-overload-'))
  server = await startNatsServer({ syncAlways: false })
  node = runChild(
    importOf('{ createNode }', 'src/index.ts') +
      importOf('{ Work }', 'bench/overload/work.ts') +
      untilTold +
      `const node = await createNode({ servers: '${server.url}', dataDir: ${JSON.stringify(folder)}, partitions: 4, actors: [Work] })
console.log('ready')
await untilTold()
await node.close()`,
  )
  await node.printed('ready')
  hf = await connect({ servers: server.url, timeout: '60s' })
}, 60_000)

afterEach(async () => {
  await hf?.close()
  node?.tell()
  await node?.exited
  await server?.stop()
  await rm(folder, { recursive: true, force: true })
}, 60_000)

const call = (key: string, name: 'toil' | 'touch', id: string | undefined) => {
  const work = hf.actor(Work, key)
  return (id === undefined ? work : work.with({ id }))[name]()
}

async function countOf(keys: readonly string[]): Promise<number> {
  const counts = await Promise.all(keys.map((key) => hf.actor(Work, key).done()))
  return counts.reduce((sum, count) => sum + count, 0)
}

describe('a node that is asked for several times what it can do', { timeout: 120_000 }, () => {
  it.each([
    ['of one key', [hotKey]],
    ['of many keys', keysOf(100)],
  ])('%s refuses at once what is too much, does the rest once, and is as before right after', async (_, keys) => {
    const [flooded, probed] = [new Tally(), new Tally()]
    const flood = (n: number, id: string | undefined) => call(keys[n % keys.length]!, 'toil', id)
    const probe = (n: number, id: string | undefined) => call(`other-${n % 10}`, 'touch', id)
    await Promise.all([
      openLoop({ rate, forMs, tally: flooded, call: flood }),
      openLoop({ rate: 50, forMs, tally: probed, call: probe }),
    ])
    const { acknowledged, overloaded, retryAfterMs, others } = flooded.outcomes()
    expect(others).toEqual({})
    expect(acknowledged.count + overloaded.count).toBe((rate * forMs) / 1_000)
    expect(acknowledged.count).toBeGreaterThan(100)
    expect(overloaded.count).toBeGreaterThan(acknowledged.count)
    expect(retryAfterMs.least).toBeGreaterThan(0)
    expect(retryAfterMs.most).toBeLessThanOrEqual(5_000)
    expect(await countOf(keys)).toBe(acknowledged.count)
    const after = new Tally()
    await openLoop({ rate: 50, forMs: 500, tally: after, call: flood })
    expect(after.outcomes().others).toEqual({})
    expect(after.acknowledged).toBeGreaterThan(20)
    if (keys.length === 1) expect(probed.outcomes()).toMatchObject({ others: {} })
  })
})
