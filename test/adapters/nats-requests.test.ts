import { describe, expect, it } from 'vitest'
import { VirtualClock } from '../../src/adapters/memory/virtual-clock.ts'
import type { Link } from '../../src/adapters/nats/link.ts'
import { Requests, type Answer } from '../../src/adapters/nats/requests.ts'

/** A link whose server never answers. */
function silentLink() {
  const clock = new VirtualClock()
  let sent = 0
  const link = {
    parts: { clock },
    inboxRoot: '_INBOX.x',
    send: () => ++sent > 0,
    subscribe: () => ({ close() {} }),
    listen: () => ({ close() {} }),
  } as unknown as Link
  return { clock, link, sent: () => sent }
}

describe('questions without an answer (A3)', () => {
  it('are bounded: one more is not sent, and says so; there is room again when they have timed out', async () => {
    const { clock, link, sent } = silentLink()
    const requests = new Requests(link, 'log', 1_000)
    const answers: Answer[] = []
    const ask = () => requests.send({ subject: 's' }, new Uint8Array(), (answer) => answers.push(answer))
    for (let i = 0; i < 65_536; i++) ask()
    expect(requests.metrics()).toMatchObject([{ value: 65_536, limit: 65_536, labels: { of: 'log' } }])
    ask()
    await clock.advance(0)
    expect(answers).toMatchObject([{ kind: 'not-sent' }])
    expect(sent()).toBe(65_536)
    await clock.advance(1_001)
    expect(answers).toHaveLength(65_537)
    ask()
    expect(sent()).toBe(65_537)
    requests.close()
  })
})
