import { fork } from 'node:child_process'
import { once } from 'node:events'
import { beforeAll, describe, expect, it } from 'vitest'
import { Fingerprint } from '../../src/testing/sim/fingerprint.ts'
import { simulate, type Run } from '../../src/testing/sim/run.ts'
import { build, builtFile } from '../support/build.ts'

const main = builtFile('src/testing/sim/main.ts')

beforeAll(build, 60_000)

/** In a process of its own, after the seeds `before`. */
async function elsewhere(seed: number, ...before: number[]): Promise<Run> {
  const worker = fork(main, ['--worker'], { execArgv: [] })
  try {
    let run: Run | undefined
    for (const each of [...before, seed]) {
      worker.send(each)
      const [answer] = (await once(worker, 'message')) as [Run]
      run = answer
    }
    return run!
  } finally {
    const ended = once(worker, 'exit')
    worker.kill()
    await ended
  }
}

describe('a run (U1)', () => {
  it('has the same fingerprint twice, in this process and in another one that ran another seed before', async () => {
    const first = await simulate(14)
    const second = await simulate(14)
    expect(second).toEqual(first)
    const other = await elsewhere(14, 9)
    expect(other).toEqual(first)
    expect((await simulate(9)).fingerprint).not.toBe(first.fingerprint)
  }, 300_000)
})

describe('a fingerprint', () => {
  const of = (...parts: (number | string | Uint8Array)[]) => {
    const print = new Fingerprint()
    for (const part of parts) {
      if (typeof part === 'number') print.number(part)
      else if (typeof part === 'string') print.text(part)
      else print.bytes(part)
    }
    return String(print)
  }

  it('is of what was said, of its order, and of where one part ends and the next begins', () => {
    const prints = [
      of(),
      of(0),
      of(0, 0),
      of(1),
      of(1.5),
      of('ab', 'c'),
      of('a', 'bc'),
      of('c', 'ab'),
      of('abc'),
      of(Uint8Array.of(1, 2, 3, 4, 5)),
      of(Uint8Array.of(1, 2, 3, 4, 6)),
      of(Uint8Array.of(1, 2, 3, 4), Uint8Array.of(5)),
      of(Uint8Array.of(1, 2, 3, 4, 5, 0)),
    ]
    expect(new Set(prints).size).toBe(prints.length)
    expect(of('ab', 1, Uint8Array.of(7))).toBe(of('ab', 1, Uint8Array.of(7)))
    for (const print of prints) expect(print).toMatch(/^[0-9a-f]{16}$/)
  })
})
