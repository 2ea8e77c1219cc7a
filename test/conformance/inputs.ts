/**
 * What every adapter of the Inputs port keeps (I1–I4).
 *
 * Call `inputsConformance` from the adapter's own test file; each test gets a world of its own from `makeWorld`.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { InputMessage, InputReading, Inputs } from '../../src/ports/inputs.ts'
import { bytes, text } from './bytes.ts'

export interface InputsWorld {
  connect(): Promise<Inputs>
  /** Makes a stream of this name that stores the subjects `<name>.>`; in place of the one that there is, if there is one. */
  create(stream: string): Promise<void>
  remove(stream: string): Promise<void>
  /** Gives the sequence. */
  add(stream: string, subject: string, data: Uint8Array, headers?: Readonly<Record<string, string>>): Promise<number>
  /** Removes all messages before this one. */
  trim(stream: string, first: number): Promise<void>
  /** Breaks the connection of all who are connected, and mends it again. */
  breakAll(): Promise<void>
  close(): Promise<void>
}

/** The next so many messages. */
export async function take(reading: InputReading, count: number): Promise<InputMessage[]> {
  const messages: InputMessage[] = []
  while (messages.length < count) {
    const message = await reading.next()
    if (message === undefined) throw new Error('the reading was closed')
    messages.push(message)
  }
  return messages
}

const said = (messages: readonly InputMessage[]) => messages.map(({ seq, data }) => `${seq}:${text(data)}`)

export function inputsConformance(name: string, makeWorld: () => Promise<InputsWorld>): void {
  describe(`${name} keeps the rules of inputs`, () => {
    let world: InputsWorld
    let inputs: Inputs
    const readings: InputReading[] = []
    const read = (options: Parameters<Inputs['read']>[0]) => {
      const reading = inputs.read(options)
      readings.push(reading)
      return reading
    }

    beforeEach(async () => {
      world = await makeWorld()
      inputs = await world.connect()
    })
    afterEach(async () => {
      for (const reading of readings.splice(0)) reading.close()
      await world.close()
    })

    describe('what is known of a stream (I4)', () => {
      it('is nothing where there is none', async () => {
        expect(inputs.streams).toBe(true)
        expect(await inputs.info('A')).toBeNull()
      })

      it('is where it begins and ends', async () => {
        await world.create('A')
        expect(await inputs.info('A')).toMatchObject({ first: 1, last: 0 })
        for (let i = 1; i <= 5; i++) await world.add('A', 'A.x', bytes(String(i)))
        await world.trim('A', 3)
        expect(await inputs.info('A')).toMatchObject({ first: 3, last: 5 })
      })

      it('tells a stream from one that was made again under its name', async () => {
        await world.create('A')
        const before = await inputs.info('A')
        expect((await inputs.info('A'))!.created).toBe(before!.created)
        await world.create('A')
        expect((await inputs.info('A'))!.created).not.toBe(before!.created)
      })
    })

    describe('a reading (I1)', () => {
      it('gives what is there and what comes later, in order, each once', async () => {
        await world.create('A')
        for (let i = 1; i <= 3; i++) await world.add('A', 'A.x', bytes(`m${i}`))
        const reading = read({ stream: 'A', from: 1 })
        expect(said(await take(reading, 3))).toEqual(['1:m1', '2:m2', '3:m3'])
        const next = take(reading, 2)
        await world.add('A', 'A.x', bytes('m4'))
        await world.add('A', 'A.x', bytes('m5'))
        expect(said(await next)).toEqual(['4:m4', '5:m5'])
      })

      it('begins where it is told, also behind the last and before the first that is kept', async () => {
        await world.create('A')
        for (let i = 1; i <= 4; i++) await world.add('A', 'A.x', bytes(`m${i}`))
        expect(said(await take(read({ stream: 'A', from: 3 }), 2))).toEqual(['3:m3', '4:m4'])
        const behind = take(read({ stream: 'A', from: 5 }), 1)
        await world.add('A', 'A.x', bytes('m5'))
        expect(said(await behind)).toEqual(['5:m5'])
        await world.trim('A', 4)
        expect(said(await take(read({ stream: 'A', from: 1 }), 2))).toEqual(['4:m4', '5:m5'])
      })

      it('gives subject, bytes, headers and time as they are', async () => {
        await world.create('A')
        const data = Uint8Array.from({ length: 256 }, (_, i) => i)
        await world.add('A', 'A.one.two', data, { 'X-Kind': 'test' })
        await world.add('A', 'A.x', new Uint8Array())
        const [first, second] = await take(read({ stream: 'A', from: 1 }), 2)
        expect(first).toMatchObject({ seq: 1, subject: 'A.one.two', headers: { 'X-Kind': 'test' } })
        expect(new Uint8Array(first!.data)).toEqual(data)
        expect(Number.isSafeInteger(first!.at) && first!.at > Date.UTC(2020, 0)).toBe(true)
        expect(second).toMatchObject({ seq: 2, headers: {} })
        expect(second!.data).toHaveLength(0)
      })

      it('gives only what matches its filter', async () => {
        await world.create('A')
        for (const subject of ['A.x.1', 'A.y.1', 'A.x.2', 'A.x.2.3', 'A.y.2']) {
          await world.add('A', subject, bytes(subject))
        }
        expect(said(await take(read({ stream: 'A', filter: 'A.x.*', from: 1 }), 2))).toEqual(['1:A.x.1', '3:A.x.2'])
        expect(said(await take(read({ stream: 'A', filter: 'A.x.>', from: 3 }), 2))).toEqual(['3:A.x.2', '4:A.x.2.3'])
        const later = take(read({ stream: 'A', filter: 'A.z', from: 1 }), 1)
        await world.add('A', 'A.x.9', bytes('no'))
        await world.add('A', 'A.z', bytes('yes'))
        expect(said(await later)).toEqual(['7:yes'])
      })

      it('of more than is held here at a time leaves out nothing', async () => {
        await world.create('A')
        const count = 1_500
        for (let i = 1; i <= count; i++) await world.add('A', 'A.x', bytes(`m${i}`.padEnd(1_000, '.')))
        const messages = await take(read({ stream: 'A', from: 1 }), count)
        expect(messages.map(({ seq }) => seq)).toEqual(Array.from({ length: count }, (_, i) => i + 1))
        expect(text(messages.at(-1)!.data)).toBe(`m${count}`.padEnd(1_000, '.'))
      })

      it('knows nothing of another one', async () => {
        await world.create('A')
        for (let i = 1; i <= 3; i++) await world.add('A', 'A.x', bytes(`m${i}`))
        const [one, other] = [read({ stream: 'A', from: 1 }), read({ stream: 'A', from: 2 })]
        expect(said(await take(one, 2))).toEqual(['1:m1', '2:m2'])
        expect(said(await take(other, 2))).toEqual(['2:m2', '3:m3'])
        other.close()
        expect(said(await take(one, 1))).toEqual(['3:m3'])
      })
    })

    describe('the end of a reading (I2)', () => {
      it('is undefined after close, also for who waits', async () => {
        await world.create('A')
        await world.add('A', 'A.x', bytes('m1'))
        const reading = read({ stream: 'A', from: 1 })
        await take(reading, 1)
        const waiting = reading.next()
        reading.close()
        reading.close()
        expect(await waiting).toBeUndefined()
        expect(await reading.next()).toBeUndefined()
      })

      it('is NOT_FOUND where there is no such stream', async () => {
        await expect(read({ stream: 'B', from: 1 }).next()).rejects.toMatchObject({ code: 'NOT_FOUND' })
      })

      it('comes where the stream is removed while it is read', async () => {
        await world.create('A')
        await world.add('A', 'A.x', bytes('m1'))
        const reading = read({ stream: 'A', from: 1 })
        await take(reading, 1)
        const waiting = reading.next()
        const ended = waiting.catch((error: unknown) => error)
        await world.remove('A')
        expect(await ended).toMatchObject({ code: expect.stringMatching(/^(RETRY|NOT_FOUND)$/) })
      })

      it('is RETRY where the connection breaks, and another one goes on', async () => {
        await world.create('A')
        await world.add('A', 'A.x', bytes('m1'))
        const reading = read({ stream: 'A', from: 1 })
        await take(reading, 1)
        const ended = reading.next().catch((error: unknown) => error)
        await world.breakAll()
        expect(await ended).toMatchObject({ code: 'RETRY' })
        await world.add('A', 'A.x', bytes('m2'))
        expect(said(await take(read({ stream: 'A', from: 2 }), 1))).toEqual(['2:m2'])
      })
    })
  })
}
