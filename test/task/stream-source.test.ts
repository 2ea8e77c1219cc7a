/** How one reading of a stream serves the lanes of a node, which come, go and lag behind each other. */
import { afterEach, describe, expect, it } from 'vitest'
import { task } from '../../src/behaviour/task.ts'
import type { Inputs } from '../../src/ports/inputs.ts'
import { HoldfastError } from '../../src/protocol/errors.ts'
import { partitionId } from '../../src/protocol/ids.ts'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { input, TaskCluster } from './task-cluster.ts'

let cluster: TaskCluster
afterEach(() => cluster.close())

const partitions = 4

/** A key of a partition. */
function keyIn(partition: number): string {
  for (let i = 0; ; i++) if (partitionOf(`k${i}`, partitions) === partitionId(partition)) return `k${i}`
}

/** A promise that a test resolves. */
function gate() {
  let open!: () => void
  const opened = new Promise<void>((resolve) => (open = resolve))
  return { opened, open }
}

describe('a lane that comes while the stream is looked at for another one', () => {
  it('leaves that one where it was, though the stream then does not answer for long (R2)', async () => {
    const [late, later] = [gate(), gate()]
    const processed: number[] = []
    const definition = task<number>('late', {
      input: { stream: input },
      run: () => ({
        async init({ partition }) {
          if (partition === 1) await late.opened
          if (partition === 2) await later.opened
        },
        process: ({ value }) => void processed.push(value),
      }),
    })
    let look: (inputs: Inputs, stream: string) => ReturnType<Inputs['info']> = (inputs, stream) => inputs.info(stream)
    const between = (inputs: Inputs): Inputs => ({
      streams: true,
      info: (stream) => look(inputs, stream),
      read: (options) => inputs.read(options),
      close: () => inputs.close(),
    })
    cluster = new TaskCluster('late', { partitions, tasks: () => [definition], between })
    for (let i = 0; i < 100; i++) cluster.send(keyIn(1), i)
    cluster.send(keyIn(0), 100)
    cluster.start('n1')
    await cluster.until(() => processed.length === 1)

    const answer = gate()
    let asked = false
    look = async (inputs, stream) => {
      asked = true
      const info = await inputs.info(stream)
      await answer.opened
      look = () => Promise.reject(new HoldfastError('RETRY', 'no leader'))
      return info
    }
    late.open()
    await cluster.until(() => asked)
    later.open()
    await cluster.pass(100)
    answer.open()
    await cluster.pass(20_000)
    look = (inputs, stream) => inputs.info(stream)
    await cluster.pass(20_000)
    expect(processed).toEqual([100, ...Array.from({ length: 100 }, (_, i) => i)])
  })
})

describe('a lane with a message that takes long', () => {
  it('does not keep the messages of other partitions, however many come behind it, and loses none of its own (R3)', async () => {
    const end = gate()
    const processed: string[] = []
    const definition = task<number>('slow', {
      input: { stream: input },
      process: async ({ key, value }) => {
        if (value === 0) await end.opened
        processed.push(`${key} ${value}`)
      },
    })
    cluster = new TaskCluster('slow', { partitions, tasks: () => [definition] })
    const [slow, other] = [keyIn(1), keyIn(2)]
    for (let i = 0; i < 1_000; i++) cluster.send(slow, i)
    cluster.send(other, 1)
    cluster.start('n1')
    await cluster.until(() => processed.length === 1)
    expect(processed).toEqual([`${other} 1`])
    end.open()
    await cluster.until(() => processed.length === 1_001)
    expect(processed.slice(1)).toEqual(Array.from({ length: 1_000 }, (_, i) => `${slow} ${i}`))
  })
})
