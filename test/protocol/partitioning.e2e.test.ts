/** K1 against the real thing: a server that maps subjects by `{{partition(16,1)}}`. */
import { connect, type Msg, type NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { partitionOf } from '../../src/protocol/partitioning.ts'
import { encodeToken } from '../../src/protocol/subjects.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'

const keys = [
  'c1',
  'jfk',
  'a/b/c',
  'a.b',
  'two words',
  '*',
  '>',
  '$SYS',
  '=2E',
  'é',
  '🛒',
  '👩‍👩‍👧',
  '\r\n',
  '\0',
  'a'.repeat(128),
  'a'.repeat(129),
  'a'.repeat(512),
  'é'.repeat(256),
  '🛒'.repeat(128),
  ...Array.from({ length: 200 }, (_, i) => `key/${i}`),
]

describe('the partition of a key', () => {
  let server: TestServer
  let connection: NatsConnection
  beforeAll(async () => {
    server = await startNatsServer({
      config: 'mappings = { "by-key.*": "partition.{{partition(16,1)}}.{{wildcard(1)}}" }',
    })
    connection = await connect({ servers: server.url })
  })
  afterAll(async () => {
    await connection?.close()
    await server?.stop()
  })

  it('is the one that a NATS server computes from the token (K1)', async () => {
    const seen = new Map<string, number>()
    await new Promise<void>((resolve, reject) => {
      connection.subscribe('partition.*.*', {
        callback(error: Error | null, message: Msg) {
          if (error) return reject(error)
          const [, partition, token] = message.subject.split('.') as [string, string, string]
          seen.set(token, Number(partition))
          if (seen.size === keys.length) resolve()
        },
      })
      for (const key of keys) connection.publish(`by-key.${encodeToken(key)}`)
    })
    const expected = new Map(keys.map((key) => [encodeToken(key), partitionOf(key, 16) as number]))
    expect(seen).toEqual(expected)
    expect(new Set(seen.values()).size).toBe(16)
  })
})
