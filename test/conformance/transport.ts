/**
 * What every adapter of the Transport port keeps (T1–T7).
 *
 * Call `transportConformance` from the adapter's own test file; each test gets a world of its own from `makeWorld`.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Message, Transport, TransportStatus } from '../../src/ports/transport.ts'
import { bytes, pattern, same, text } from './bytes.ts'

export interface TransportWorld {
  /** One more connection to the same server. */
  connect(): Promise<Transport>
  /** Errors that handlers threw and that the adapter reported (T4): to its observer, as `handler.threw`. */
  readonly thrown: readonly unknown[]
  /** Only where connections can break: breaks this one and resolves when the transport has noticed (`connected` is false). */
  sever?(transport: Transport): Promise<void>
  /** Lets it reconnect, and resolves when it has. */
  heal?(transport: Transport): Promise<void>
  close(): Promise<void>
}

export interface TransportTraits {
  /** The world has `sever` and `heal`. */
  readonly breakable: boolean
}

/** Collects messages, and lets a test wait for them. */
export class Collector {
  readonly messages: Message[] = []
  #wake: (() => void) | undefined
  readonly handler = (message: Message) => {
    this.messages.push(message)
    this.#wake?.()
  }
  async count(n: number): Promise<readonly Message[]> {
    while (this.messages.length < n) await new Promise<void>((wake) => (this.#wake = wake))
    return this.messages
  }
  get texts(): (string | undefined)[] {
    return this.messages.map((message) => text(message.data))
  }
}

export function transportConformance(
  name: string,
  makeWorld: () => Promise<TransportWorld>,
  traits: TransportTraits,
): void {
  describe(`${name} keeps the rules of a transport`, () => {
    let world: TransportWorld
    let a: Transport
    let b: Transport

    beforeEach(async () => {
      world = await makeWorld()
      a = await world.connect()
      b = await world.connect()
    })
    afterEach(() => world.close())

    const listen = async (on: Transport, subject: string, queue?: string) => {
      const collector = new Collector()
      const subscription = on.subscribe(subject, collector.handler, queue === undefined ? {} : { queue })
      await on.flush()
      return Object.assign(collector, { close: () => subscription.close() })
    }

    describe('messages', () => {
      it('arrive whole at every subscriber, the sender too', async () => {
        const [atA, atB, twice] = [await listen(a, 's.x'), await listen(b, 's.x'), await listen(b, 's.x')]
        const data = Uint8Array.from({ length: 256 }, (_, i) => i)
        a.publish('s.x', data, { reply: 'r.y', headers: { 'Hf-Id': 'abc', 'X-Lower': 'ü 1: 2' } })
        for (const collector of [atA, atB, twice]) {
          const [message] = await collector.count(1)
          expect(message).toMatchObject({ subject: 's.x', reply: 'r.y', noResponders: false })
          expect(message!.headers).toEqual({ 'Hf-Id': 'abc', 'X-Lower': 'ü 1: 2' })
          expect(same(message!.data, data)).toBe(true)
        }
      })

      it('have neither reply nor headers where none were given', async () => {
        const atB = await listen(b, 's.x')
        a.publish('s.x', new Uint8Array())
        const [message] = await atB.count(1)
        expect(message!.reply).toBeUndefined()
        expect(message!.headers).toBeUndefined()
        expect(message!.data).toHaveLength(0)
      })

      it('of one sender reach one receiver in order, over all subjects', async () => {
        const all = await listen(b, 'o.>')
        const sent = Array.from({ length: 1_000 }, (_, i) => `m${i}`)
        for (const [i, body] of sent.entries()) a.publish(`o.${i % 7}`, bytes(body))
        await all.count(sent.length)
        expect(all.texts).toEqual(sent)
      })

      it('go to nobody where nobody subscribes, and to nobody else', async () => {
        const other = await listen(b, 's.y')
        a.publish('s.x', bytes('lost'))
        a.publish('s.y', bytes('kept'))
        await other.count(1)
        expect(other.texts).toEqual(['kept'])
      })

      it('are never delivered within the call that publishes them (T4)', async () => {
        const atA = await listen(a, 's.x')
        a.publish('s.x', bytes('1'))
        expect(atA.messages).toHaveLength(0)
        await atA.count(1)
      })

      it('hold the bytes of the moment they were published at (T7)', async () => {
        const [one, two] = [await listen(a, 's.x'), await listen(b, 's.x')]
        for (const buffer of [bytes('before'), Buffer.from('before')]) {
          a.publish('s.x', buffer)
          buffer.fill(0x21)
        }
        for (const collector of [one, two]) {
          expect((await collector.count(2)).map(({ data }) => text(data))).toEqual(['before', 'before'])
        }
      })

      it('may be as large as the limit says, headers included, and not larger', async () => {
        const atB = await listen(b, 's.x')
        const largest = pattern(a.maxPayload)
        a.publish('s.x', largest)
        expect(same((await atB.count(1))[0]!.data, largest)).toBe(true)
        const invalid = expect.objectContaining({ code: 'INVALID' })
        expect(() => a.publish('s.x', pattern(a.maxPayload + 1))).toThrow(invalid)
        expect(() => a.publish('s.x', largest, { headers: { A: 'b' } })).toThrow(invalid)
        a.publish('s.x', bytes('goes on'))
        expect(text((await atB.count(2))[1]!.data)).toBe('goes on')
      })
    })

    describe('wildcards', () => {
      it.each([
        ['w.*', ['w.a', 'w.b'], ['w', 'w.a.b', 'v.a']],
        ['w.*.z', ['w.a.z', 'w.z.z'], ['w.a', 'w.a.y', 'w.a.z.z']],
        ['w.>', ['w.a', 'w.a.b', 'w.a.b.c.d'], ['w', 'v.w']],
        ['w.*.>', ['w.a.b', 'w.a.b.c'], ['w.a', 'w']],
        ['*.k', ['w.k', 'v.k'], ['k', 'w.k.k']],
        ['w.a', ['w.a'], ['w.b', 'w.a.b', 'W.a']],
        ['w.a*', ['w.a*'], ['w.ab', 'w.a']],
      ] as const)('in %s match %j and not %j', async (subject, matching, others) => {
        const collector = await listen(b, subject)
        const end = await listen(b, 'zz.end')
        for (const target of [...others, ...matching]) a.publish(target, bytes('x'))
        a.publish('zz.end', bytes('x'))
        await end.count(1)
        expect(collector.messages.map((message) => message.subject)).toEqual([...matching])
      })
    })

    describe('queue groups (T5)', () => {
      it('give each message to exactly one member, and spread them', async () => {
        const members = [await listen(a, 'q.x', 'g'), await listen(b, 'q.x', 'g'), await listen(b, 'q.*', 'h')]
        const plain = await listen(b, 'q.x')
        for (let i = 0; i < 300; i++) a.publish('q.x', bytes(`m${i}`))
        await plain.count(300)
        await a.flush()
        await b.flush()
        const byGroup = [...members[0]!.texts, ...members[1]!.texts]
        expect(byGroup.toSorted()).toEqual(plain.texts.toSorted())
        expect(members[2]!.texts).toEqual(plain.texts)
        expect(members[0]!.messages.length * members[1]!.messages.length).toBeGreaterThan(0)
      })

      it('go on with the members that are left', async () => {
        const leaving = await listen(a, 'q.x', 'g')
        const staying = await listen(b, 'q.x', 'g')
        leaving.close()
        await a.flush()
        for (let i = 0; i < 20; i++) a.publish('q.x', bytes(`m${i}`))
        await staying.count(20)
        expect(leaving.messages).toHaveLength(0)
      })
    })

    describe('replies', () => {
      it('come back over an inbox of the asker', async () => {
        const inbox = a.inbox()
        expect(a.inbox()).not.toBe(inbox)
        expect(b.inbox()).not.toBe(inbox)
        const replies = await listen(a, inbox)
        const asked = await listen(b, 'svc')
        a.publish('svc', bytes('question'), { reply: inbox })
        const [question] = await asked.count(1)
        expect(question!.reply).toBe(inbox)
        b.publish(question!.reply!, bytes('answer'))
        expect(text((await replies.count(1))[0]!.data)).toBe('answer')
      })

      it('tell that nobody listens (T2)', async () => {
        const inbox = a.inbox()
        const replies = await listen(a, inbox)
        a.publish('nobody.here', bytes('?'), { reply: inbox })
        const [message] = await replies.count(1)
        expect(message).toMatchObject({ subject: inbox, noResponders: true })
        expect(message!.data).toHaveLength(0)
      })

      it('do not say so where a queue group or a wildcard listens', async () => {
        const inbox = a.inbox()
        const replies = await listen(a, inbox)
        const group = await listen(b, 'q.>', 'g')
        a.publish('q.x', bytes('?'), { reply: inbox })
        await group.count(1)
        a.publish('nobody.here', bytes('?'), { reply: inbox })
        await replies.count(1)
        expect(replies.messages.map((message) => message.noResponders)).toEqual([true])
        expect(group.messages).toHaveLength(1)
      })
    })

    describe('bad input is INVALID:', () => {
      const invalid = expect.objectContaining({ code: 'INVALID' })
      const malformed = ['', '.', 'a.', '.a', 'a..b', 'a b', 'a\tb', 'a\r\nb', 'a\u0000b']
      it.each([...malformed, 'a.*', '*', 'a.>', '>'])('the subject %j', (subject) => {
        expect(() => a.publish(subject, bytes('x'))).toThrow(invalid)
        expect(() => a.publish('fine', bytes('x'), { reply: subject })).toThrow(invalid)
      })
      it.each([...malformed, 'a.>.b', '>.a'])('a subscription to %j', (subject) => {
        expect(() => a.subscribe(subject, () => {})).toThrow(invalid)
      })
      it.each(['', 'a b', 'a\r\nb', 'a\tb'])('the queue %j', (queue) => {
        expect(() => a.subscribe('fine', () => {}, { queue })).toThrow(invalid)
      })
      it.each([
        ['', 'x'],
        ['a b', 'x'],
        ['a:b', 'x'],
        ['a\r\nb', 'x'],
        ['a', 'x\r\nb: y'],
        ['a', 'x\ny'],
      ])('the header %j: %j', (header, value) => {
        expect(() => a.publish('fine', bytes('x'), { headers: { [header]: value } })).toThrow(invalid)
      })
    })

    it('reports what a handler throws, and goes on (T4)', async () => {
      const error = new Error('thrown by a test')
      b.subscribe('s.x', () => {
        throw error
      })
      const atB = await listen(b, 's.x')
      a.publish('s.x', bytes('1'))
      a.publish('s.x', bytes('2'))
      await atB.count(2)
      await b.flush()
      expect(world.thrown).toEqual([error, error])
    })

    it('has the server know of a subscription and of all published before once flush resolves (T3)', async () => {
      const atB = await listen(b, 's.x')
      for (let i = 0; i < 50; i++) a.publish('s.x', bytes(`m${i}`))
      await a.flush()
      b.publish('s.x', bytes('behind'))
      await atB.count(51)
      expect(atB.texts[50]).toBe('behind')
    })

    it('calls no handler of a subscription that was closed', async () => {
      const closed = await listen(b, 's.x')
      const open = await listen(b, 's.x')
      a.publish('s.x', bytes('1'))
      await closed.count(1)
      a.publish('s.x', bytes('2'))
      closed.close()
      closed.close()
      await open.count(2)
      expect(closed.texts).toEqual(['1'])
      expect(world.thrown).toEqual([])
    })

    it('calls no handler of a subscription that was closed a moment before, with the message at the door', async () => {
      let calls = 0
      const both = [0, 1].map((i) =>
        b.subscribe('s.x', () => {
          calls++
          both[1 - i]!.close()
        }),
      )
      await b.flush()
      const end = await listen(b, 's.end')
      a.publish('s.x', bytes('1'))
      a.publish('s.end', bytes('2'))
      await end.count(1)
      expect(calls).toBe(1)
      expect(world.thrown).toEqual([])
    })

    it('calls no handler after close, and takes what is asked of it then in peace (T6)', async () => {
      const closed = await listen(b, 's.x')
      const open = await listen(a, 's.x')
      a.publish('s.x', bytes('underway'))
      await b.close()
      expect(b.connected).toBe(false)
      const before = closed.messages.length
      a.publish('s.x', bytes('after'))
      await open.count(2)
      expect(closed.messages).toHaveLength(before)
      b.publish('s.x', bytes('from the dead'))
      await expect(b.flush()).rejects.toThrow()
      await b.close()
      a.publish('s.x', bytes('last'))
      await open.count(3)
      expect(open.texts).toEqual(['underway', 'after', 'last'])
    })

    if (traits.breakable) {
      it('loses what is published while it is disconnected, counts it, and says so (T1)', async () => {
        const statuses: TransportStatus[] = []
        a.onStatus((status) => statuses.push(status))
        const [atA, atB] = [await listen(a, 's.x'), await listen(b, 's.y')]
        expect(a.connected).toBe(true)
        await world.sever!(a)
        expect(a.connected).toBe(false)
        const { lost } = a
        a.publish('s.y', bytes('lost'))
        expect(a.lost).toBe(lost + 1)
        b.publish('s.x', bytes('missed'))
        await b.flush()
        const late = new Collector()
        a.subscribe('s.late', late.handler)
        await world.heal!(a)
        expect(a.connected).toBe(true)
        await a.flush()
        b.publish('s.x', bytes('heard'))
        b.publish('s.late', bytes('heard too'))
        a.publish('s.y', bytes('sent'))
        expect(a.lost).toBe(lost + 1)
        await Promise.all([atA.count(1), atB.count(1), late.count(1)])
        expect(atA.texts).toEqual(['heard'])
        expect(atB.texts).toEqual(['sent'])
        expect(statuses).toEqual(['disconnected', 'connected'])
      })
    }

    if (traits.breakable) {
      it('rejects a flush that the connection does not outlive (T3)', async () => {
        a.publish('s.x', bytes('perhaps'))
        const cut = world.sever!(a)
        const flush = a.flush()
        await Promise.all([expect(flush).rejects.toThrow(), cut])
        await world.heal!(a)
        await a.flush()
      })
    }
  })
}
