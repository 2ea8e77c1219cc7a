import { expect, it } from 'vitest'
import { task } from '../../src/behaviour/task.ts'
import { input, TaskCluster } from './task-cluster.ts'

it('counts', async () => {
  const cluster = new TaskCluster(1, {
    tasks: () => [
      task<number>('totals', {
        input: { stream: input },
        stores: ['totals'],
        async process({ key, value }, { store, send }) {
          const total = ((await store<number>('totals').get(key)) ?? 0) + value
          await store<number>('totals').put(key, total)
          send({ subject: `out.${key}`, value: total, stream: 'OUT' })
        },
      }),
    ],
  })
  for (let i = 0; i < 100; i++) cluster.send(`k${i % 7}`, i)
  cluster.start('n1')
  await cluster.until(() => cluster.stored.length === 100)
  console.log(await cluster.entries('totals'), cluster.world.clock.monotonic())
  cluster.start('n2')
  await cluster.pass(5000)
  cluster.crash('n1')
  for (let i = 100; i < 200; i++) cluster.send(`k${i % 7}`, i)
  await cluster.until(() => cluster.stored.length === 200)
  const want: Record<string, number> = {}
  for (let i = 0; i < 200; i++) want[`k${i % 7}`] = (want[`k${i % 7}`] ?? 0) + i
  expect(await cluster.entries('totals')).toEqual(want)
  console.log(cluster.trace(20))
  await cluster.close()
})
