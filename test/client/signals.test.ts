import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import { Signals } from '../../src/client/signals.ts'

describe('the signals of callers', () => {
  it('are listened to once, however many calls they end', () => {
    const signals = new Signals()
    const { signal, ...controller } = withAbort()
    const ended: number[] = []
    for (let n = 0; n < 100; n++) signals.on(signal, () => ended.push(n))
    expect(getEventListeners(signal, 'abort')).toHaveLength(1)
    controller.abort()
    expect(ended).toEqual(Array.from({ length: 100 }, (_, n) => n))
    controller.abort()
    expect(ended).toHaveLength(100)
  })

  it('end nothing that was let go, and are let go with the last of it', () => {
    const signals = new Signals()
    const { signal, ...controller } = withAbort()
    const ended: string[] = []
    const letGo = ['a', 'b'].map((name) => signals.on(signal, () => ended.push(name)))
    letGo[0]!()
    letGo[0]!()
    expect(getEventListeners(signal, 'abort')).toHaveLength(1)
    letGo[1]!()
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
    const again = signals.on(signal, () => ended.push('again'))
    letGo[1]!()
    expect(getEventListeners(signal, 'abort')).toHaveLength(1)
    controller.abort()
    expect(ended).toEqual(['again'])
    again()
  })
})

function withAbort() {
  const controller = new AbortController()
  return { signal: controller.signal, abort: () => controller.abort() }
}
