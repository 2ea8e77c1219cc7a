/** What a user's observer throws is the process's to warn of, and nobody else's to hear. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { connect, createNode, provision, type Observer } from '../../src/index.ts'
import { guarded, type HoldfastEvent } from '../../src/ports/observer.ts'
import { Ledger } from '../e2e/support/ledger.ts'
import { startNatsServer } from '../support/nats-server.ts'

const event = { type: 'transport.connected' } satisfies HoldfastEvent
const failing = (): Observer & { readonly heard: string[] } => {
  const heard: string[] = []
  return {
    heard,
    emit({ type }) {
      heard.push(type)
      throw new TypeError('no such logger')
    },
  }
}

let warnings: () => readonly unknown[][]
beforeEach(() => {
  const { mock } = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  warnings = () => mock.calls
})

describe('a guarded observer', () => {
  it('hears every event as it is, by its own method', () => {
    const events: HoldfastEvent[] = []
    class Kept implements Observer {
      readonly #events = events
      emit(heard: HoldfastEvent) {
        this.#events.push(heard)
      }
    }
    guarded(new Kept()).emit(event)
    expect(events).toEqual([event])
    expect(events[0]).toBe(event)
    expect(warnings()).toEqual([])
  })

  it('throws nothing, hears what comes after, and is warned of once', () => {
    const observer = failing()
    const before = guarded(observer)
    before.emit(event)
    before.emit(event)
    expect(observer.heard).toHaveLength(2)
    expect(warnings()).toEqual([
      [
        expect.stringContaining('transport.connected: no such logger'),
        { type: 'HoldfastWarning', detail: expect.stringContaining('TypeError: no such logger\n') },
      ],
    ])
  })

  it.each<[what: string, observer: { emit?: () => unknown }, sentence: string]>([
    ['rejects', { emit: () => Promise.reject(new Error('no disk')) }, 'no disk'],
    ['is none', {}, 'emit'],
  ])('that %s is warned of, too', async (_, observer, sentence) => {
    guarded(observer as Observer).emit(event)
    await vi.waitFor(() => expect(warnings()).toEqual([[expect.stringContaining(sentence), expect.anything()]]))
  })
})

describe('an observer that throws at each event', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-observer-'))
    vi.stubEnv('HOLDFAST_NOTHING', 'x')
  })
  afterEach(async () => {
    vi.unstubAllEnvs()
    await rm(folder, { recursive: true, force: true })
  })

  it.each([
    ['connect', (observer: Observer) => connect({ observer })],
    ['provision', (observer: Observer) => provision({ observer })],
    ['createNode', (observer: Observer) => createNode({ observer, actors: [], dataDir: folder })],
  ])('keeps %s from nothing', async (_, call) => {
    const observer = failing()
    await expect(call(observer)).rejects.toMatchObject({ code: 'INVALID', message: expect.stringContaining('servers') })
    expect(observer.heard).toContain('environment.unknown')
  })

  it('leaves a node and a client in work, whose server ends and comes back', { timeout: 60_000 }, async () => {
    const server = await startNatsServer()
    const [ofNode, ofClient] = [failing(), failing()]
    const node = await createNode({
      servers: server.url,
      dataDir: folder,
      partitions: 2,
      actors: [Ledger],
      http: 0,
      observer: ofNode,
    })
    const hf = await connect({ servers: server.url, observer: ofClient, timeout: '30s' })
    try {
      expect(await hf.kv('k').put('a', 1)).toBe(1)
      await server.restart()
      for (const { heard } of [ofNode, ofClient]) {
        await vi.waitFor(() => expect(heard).toContain('transport.disconnected'), 10_000)
      }
      await vi.waitFor(async () => expect(await hf.kv('k').get('a')).toBe(1), 30_000)
      expect(ofNode.heard).toContain('node.started')
      expect(warnings()).toHaveLength(2)
    } finally {
      await hf.close()
      await node.close()
      await server.stop()
    }
  })
})
