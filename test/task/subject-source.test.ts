import { expect, it } from 'vitest'
import { task } from '../../src/behaviour/task.ts'
import type { Message, Transport } from '../../src/ports/transport.ts'
import { silent } from '../../src/ports/observer.ts'
import { partitionId } from '../../src/protocol/ids.ts'
import type { Lane } from '../../src/task/lane.ts'
import type { TaskMessage } from '../../src/task/message.ts'
import { SubjectSource } from '../../src/task/subject-source.ts'

it('takes a message whose headers cannot be read, without them', () => {
  let hear: (message: Message) => void = () => {}
  const transport = { subscribe: (_: string, handler: typeof hear) => ((hear = handler), { close() {} }) }
  const definition = task('reader', { input: { subject: 'in.*' }, process: () => {} })
  const source = new SubjectSource({
    ...{ definition, subject: 'in.*', partitions: 1, observer: silent },
    transport: transport as unknown as Transport,
  })
  const offered: TaskMessage[] = []
  const lane = { partition: partitionId(0), full: false, offer: (message: TaskMessage) => void offered.push(message) }
  source.attach(lane as unknown as Lane)
  const message = (of: Partial<Message>) => ({ subject: 'in.a', data: Buffer.from('1'), ...of }) as Message
  hear(message({ headers: { Key: 'b' } }))
  // As the client of NATS does for a name that none can have.
  const odd = message({})
  Object.defineProperty(odd, 'headers', {
    get: () => {
      throw new Error('not a header')
    },
  })
  hear(odd)
  expect(offered.map(({ envelope }) => envelope().headers)).toEqual([{ Key: 'b' }, {}])
  source.close()
})
