/**
 * What this login may do, found out by doing it where that does no harm.
 *
 * PM1. Calls go to a type that no node hosts: the answer is NOT_FOUND, and nothing happened.
 * PM2. The append names a stream that is another, and a sequence that no log has: JetStream refuses it twice over.
 */
import { headers } from '@nats-io/transport-node'
import { partitionId } from '../../protocol/ids.ts'
import { callKinds, type Subjects } from '../../protocol/subjects.ts'
import { ok, skip, warn, type Finding } from './finding.ts'
import type { ServerLink } from './server-link.ts'

const nobodysType = 'holdfast-doctor'

export async function checkPermissions(link: ServerLink, subjects: Subjects): Promise<readonly Finding[]> {
  const asked = await Promise.all(
    callKinds.map(async (kind) => ({
      kind,
      reply: await link.ask(subjects.call(kind, nobodysType, 'probe', 'probe')),
    })),
  )
  const may = asked.filter(({ reply }) => reply.kind === 'answer').map(({ kind }) => kind)
  const mayNot = asked.filter(({ reply }) => reply.kind === 'denied').map(({ kind }) => kind)
  const watches = await link.maySubscribe(subjects.allChanges)
  const can = [...may, ...(watches ? ['watch'] : [])]
  const cannot = [...mayNot, ...(watches ? [] : ['watch'])]
  return [
    can.length === 0
      ? skip('login', `it may not ${cannot.join(', ')}`)
      : ok('login', `it may ${can.join(', ')}${cannot.length === 0 ? '' : `; not ${cannot.join(', ')}`}`),
    await checkFence(link, subjects),
  ]
}

/** PM2 */
async function checkFence(link: ServerLink, subjects: Subjects): Promise<Finding> {
  const impossible = headers()
  impossible.set('Nats-Expected-Stream', nobodysType)
  impossible.set('Nats-Expected-Last-Sequence', '9007199254740991')
  const reply = await link.ask(subjects.log(partitionId(0)), '', impossible)
  if (reply.kind === 'denied') return ok('fence', 'this login cannot append to logs: only nodes may')
  if (reply.kind !== 'answer') return skip('fence', 'there is no log to append to')
  return warn(
    'fence',
    'this login may append to logs, which only nodes should: a record from elsewhere breaks a partition',
    'give nodes a user of their own, and clients permissions as in deploy/nats',
  )
}
