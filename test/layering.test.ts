import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { ambientFindings } from './support/ambience.ts'
import { layeringFindings } from './support/layers.ts'
import type { SourceFile } from './support/syntax.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

function sourceFiles(): readonly SourceFile[] {
  return ['src', 'actors'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => ({ path: `${folder}/${name}`, text: readFileSync(join(root, folder, name), 'utf8') })),
  )
}

const files = sourceFiles()

describe('the source', () => {
  it('is found', () => {
    expect(files.map(({ path }) => path)).toEqual(expect.arrayContaining(['src/protocol/ids.ts', 'src/ports/clock.ts']))
  })

  it('imports in one direction only', () => {
    expect(files.flatMap(layeringFindings)).toEqual([])
  })

  it('touches ambient time, chance and console in adapters only', () => {
    const bound = files.filter(({ path }) => !path.startsWith('src/adapters/'))
    expect(bound.flatMap(ambientFindings)).toEqual([])
  })

  it('has adapters that do touch them, so the search finds something where there is something', () => {
    const adapters = files.filter(({ path }) => path.startsWith('src/adapters/system/'))
    expect(adapters.flatMap(ambientFindings)).not.toEqual([])
  })
})

describe('the rule of layers', () => {
  const finds = (path: string, text: string) => layeringFindings({ path, text })

  it.each([
    ['Y1', 'src/protocol/a.ts', "import { b } from '../core/b.ts'", 'core'],
    ['Y1', 'src/protocol/a.ts', "import type { Clock } from '../ports/clock.ts'", 'ports'],
    ['Y1', 'src/core/a.ts', "import { type Clock } from '../ports/clock.ts'", 'ports'],
    ['Y1', 'src/core/a.ts', "export { silent } from '../ports/observer.ts'", 'ports'],
    ['Y1', 'src/core/a.ts', "export * from '../ports/observer.ts'", 'ports'],
    ['Y1', 'src/core/a.ts', "type Clock = import('../ports/clock.ts').Clock", 'ports'],
    ['Y1', 'src/core/a.ts', "const later = () => import('../behaviour/actor.ts')", 'behaviour'],
    ['Y1', 'src/core/deeper/a.ts', "import '../../behaviour/actor.ts'", 'behaviour'],
    ['Y1', 'src/ports/a.ts', "import { b } from '../behaviour/b.ts'", 'behaviour'],
    ['Y1', 'src/behaviour/a.ts', "import { b } from '../partition/b.ts'", 'partition'],
    ['Y1', 'src/partition/a.ts', "import { b } from '../../actors/b.ts'", 'actors'],
    ['Y1', 'src/partition/a.ts', "import { b } from '../client/session.ts'", 'client'],
    ['Y1', 'src/client/a.ts', "import { b } from '../partition/b.ts'", 'partition'],
    ['Y1', 'src/client/a.ts', "import { b } from '../../actors/b.ts'", 'actors'],
    ['Y1', 'src/membership/a.ts', "import { b } from '../placement/b.ts'", 'placement'],
    ['Y1', 'src/placement/a.ts', "import { b } from '../partition/b.ts'", 'partition'],
    ['Y1', 'src/partition/a.ts', "import { b } from '../placement/b.ts'", 'placement'],
    ['Y2', 'src/adapters/nats/a.ts', "import { b } from '../../behaviour/b.ts'", 'behaviour'],
    ['Y2', 'src/adapters/nats/a.ts', "import { b } from '../../client/session.ts'", 'client'],
    ['Y3', 'src/partition/a.ts', "import { b } from '../adapters/nats/b.ts'", 'adapters'],
    ['Y3', 'src/client/session.ts', "import { b } from '../adapters/nats/b.ts'", 'adapters'],
    ['Y3', 'actors/node.ts', "import type { b } from '../src/adapters/nats/b.ts'", 'adapters'],
    ['Y3', 'actors/gateway.ts', "import { connect } from '../src/client/connect.ts'", 'root'],
    ['Y3', 'src/partition/a.ts', "import { b } from '../testing/b.ts'", 'root'],
    ['Y3', 'src/testing/check/a.ts', "import { SeededRandom } from '../seeded-random.ts'", 'root'],
    ['Y3', 'src/testing/check/a.ts', "import type { Clock } from '../../ports/clock.ts'", 'ports'],
    ['Y4', 'src/partition/a.ts', "import { RocksLevel } from '@nxtedition/rocksdb'", 'the package @nxtedition/rocksdb'],
    [
      'Y4',
      'src/client/a.ts',
      "import type { Msg } from '@nats-io/nats-core/internal'",
      'the package @nats-io/nats-core',
    ],
    ['Y4', 'src/core/a.ts', "import { setup } from 'xstate'", 'the package xstate'],
    ['Y4', 'src/partition/a.ts', "import { readFile } from 'node:fs/promises'", 'node:fs/promises'],
    ['Y4', 'src/partition/a.ts', "import { readFile } from 'fs'", 'the package fs'],
    ['Y4', 'src/core/a.ts', "const net = require('net')", 'the package net'],
    ['Y4', 'src/core/a.ts', "import net = require('net')", 'the package net'],
    ['Y4', 'src/core/a.ts', 'const it = await import(name)', 'the package (computed)'],
    ['Y5', 'src/core/a.ts', "import { b } from '../misc/b.ts'", 'src/misc/b.ts, which belongs to no layer'],
  ])('%s: finds that %s has: %s', (_rule, path, text, what) => {
    expect(finds(path, `const first = 1\n${text}`)).toEqual([expect.stringContaining(`${path}:2:`)])
    expect(finds(path, text)[0]).toContain(`may not import ${what}`)
  })

  it('finds a file without a layer (Y5)', () => {
    expect(finds('src/misc/a.ts', '')).toEqual(['src/misc/a.ts: belongs to no layer'])
  })

  it('finds every import of a file, not only the first', () => {
    expect(
      finds('src/core/a.ts', "import '../client/a.ts'\nimport '../protocol/ids.ts'\nimport 'node:fs'"),
    ).toHaveLength(2)
  })

  it.each([
    [
      'src/core/a.ts',
      "import { ids } from '../protocol/ids.ts'; import { b } from './b.ts'; import { createHash } from 'node:crypto'",
    ],
    ['src/ports/a.ts', "import type { Seq } from '../protocol/ids.ts'"],
    [
      'src/partition/a.ts',
      "import { actor } from '../behaviour/actor.ts'; import { silent } from '../ports/observer.ts'",
    ],
    [
      'src/adapters/nats/a.ts',
      "import { Hub } from '../memory/hub.ts'; import { readFile } from 'node:fs'; import pino from 'pino'",
    ],
    ['src/client/connect.ts', "import { NatsTransport } from '../adapters/nats/transport.ts'"],
    [
      'src/testing/cluster.ts',
      "import { VirtualClock } from '../adapters/memory/virtual-clock.ts'; import '../../actors/node.ts'",
    ],
    ['actors/gateway.ts', "import { Session } from '../src/client/session.ts'; import { setup } from 'xstate'"],
    ['src/core/a.ts', "// import '../client/a.ts'\nconst text = \"import '../client/a.ts'\""],
  ])('lets %s have: %s', (path, text) => {
    expect(finds(path, text)).toEqual([])
  })

  it('refuses to judge what it cannot parse', () => {
    expect(() => finds('src/core/a.ts', 'import {')).toThrow(SyntaxError)
  })
})

describe('the ban on ambient time, chance and console', () => {
  const finds = (text: string) => ambientFindings({ path: 'src/core/a.ts', text })

  it.each([
    ['A1', 'const now = Date.now()'],
    ['A1', 'const now = new Date()'],
    ['A1', 'const now = new Date'],
    ['A1', 'const now = new Date(...given)'],
    ['A1', 'const now = Date()'],
    ['A1', 'const clock = Date.now'],
    ['A1', 'const now = Date["now"]()'],
    ['A1', 'const Clock = Date'],
    ['A1', 'class Clock extends Date {}'],
    ['A1', 'const now = performance.now()'],
    ['A1', 'const { now } = performance'],
    ['A1', 'const now = process.hrtime.bigint()'],
    ['A1', 'const chance = Math.random()'],
    ['A1', 'const { random } = Math'],
    ['A1', 'const chance = Math["random"]()'],
    ['A1', 'const id = crypto.randomUUID()'],
    ['A1', 'crypto.getRandomValues(bytes)'],
    ['A1', 'setTimeout(run, 1)'],
    ['A1', 'setInterval(run, 1)'],
    ['A1', 'setImmediate(run)'],
    ['A1', 'clearTimeout(timer)'],
    ['A1', 'const later = setTimeout as Later'],
    ['A1', 'const clock = { setTimeout }'],
    ['A1', 'const clock = { later: setTimeout! }'],
    ['A1', 'class A { at = Date.now() }'],
    ['A1', 'function begin(at = Date.now()) {}'],
    ['A1', 'const text = `${Date.now()}`'],
    ['A1', 'clock[setTimeout]'],
    ['A1', 'export { setTimeout }'],
    ['A1', 'console.log(1)'],
    ['A1', 'const { log } = console'],
    ['A1', 'const signal = AbortSignal.timeout(1)'],
    ['A4', 'globalThis.setTimeout(run, 1)'],
    ['A4', 'const now = globalThis.Date.now()'],
    ['A4', 'const chance = globalThis.Math.random()'],
    ['A4', 'const now = globalThis["Date"]'],
    ['A4', 'const { setTimeout: later } = globalThis'],
    ['A4', 'const now = global.Date.now()'],
    ['A4', "import { setTimeout as later } from 'node:timers'"],
    ['A4', "import { setTimeout as sleep } from 'node:timers/promises'"],
    ['A4', "import { performance as time } from 'node:perf_hooks'"],
    ['A4', "import { hrtime } from 'node:process'"],
    ['A4', "import { randomBytes } from 'node:crypto'"],
    ['A4', "import { createHash, randomUUID as id } from 'node:crypto'"],
    ['A4', "import * as all from 'node:crypto'"],
    ['A4', "import all from 'node:crypto'"],
    ['A4', "export { randomInt } from 'node:crypto'"],
    ['A4', "const { randomUUID } = await import('node:crypto')"],
  ])('%s: finds %s', (_rule, text) => {
    expect(finds(`const first = 1\n${text}`)).toEqual([expect.stringContaining('src/core/a.ts:2: ')])
  })

  it('finds each use, with its line', () => {
    expect(finds('const a = Date.now()\n\nconst b = Math.random()')).toEqual([
      'src/core/a.ts:1: Date, other than of a given time',
      'src/core/a.ts:3: Math.random',
    ])
  })

  it.each([
    ['A2', 'const now = clock.now(); clock.setTimeout(run, 1); this.crypto.go()'],
    ['A2', 'interface Clock { setTimeout(run: () => void): void; performance: number }'],
    ['A2', 'class Clock { setTimeout() {} console = 1 }'],
    ['A2', 'const clock = { setTimeout: run, performance() {} }'],
    ['A2', 'type Later = typeof setTimeout'],
    ['A2', 'const at: Date | null = null; function f(x: Date): x is Date { return true }'],
    ['A2', 'const text = "Date.now()" // Math.random()'],
    ['A2', 'export { later as setTimeout }'],
    ['A3', 'const at = new Date(ms)'],
    ['A3', 'const is = value instanceof Date'],
    ['A3', 'const at = Date.UTC(2020, 1); const then = Date.parse(text); Date.prototype.getTime.call(at)'],
    ['A3', 'const top = Math.max(1, 2) + Math.floor(x)'],
    ['A3', "import { createHash, timingSafeEqual, type Hash } from 'node:crypto'"],
    ['A3', 'queueMicrotask(run); const flag = process.env; const list = globalThis.structuredClone([])'],
    ['A3', 'const both = AbortSignal.any([a, b]); const done = AbortSignal.abort()'],
  ])('%s: lets be: %s', (_rule, text) => {
    expect(finds(text)).toEqual([])
  })
})
