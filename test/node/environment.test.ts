import { describe, expect, it } from 'vitest'
import { parseDuration } from '../../src/cli/settings.ts'
import { settingsFromEnvironment, unknownVariables, withEnvironment } from '../../src/node/environment.ts'
import type { HoldfastEvent } from '../../src/ports/observer.ts'

const completed = (options: object, env: Record<string, string>) => {
  const events: HoldfastEvent[] = []
  const settings = withEnvironment(options, env, { emit: (event) => void events.push(event) })
  return { settings, events }
}

describe('the environment', () => {
  it('says each setting in a variable of its own', () => {
    const said = settingsFromEnvironment({
      HOLDFAST_SERVERS: 'nats://a:4222,b',
      HOLDFAST_CLUSTER: 'shop',
      HOLDFAST_NAME: 'web-1',
      HOLDFAST_INBOX_PREFIX: '_INBOX_shop.client',
      HOLDFAST_USER: 'u',
      HOLDFAST_PASSWORD: 'p',
      HOLDFAST_TOKEN: 't',
      HOLDFAST_NKEY: 'SU1',
      HOLDFAST_NKEY_FILE: '/run/nk',
      HOLDFAST_CREDS: 'text',
      HOLDFAST_CREDS_FILE: '/run/creds',
      HOLDFAST_TLS_CA: 'ca.pem',
      HOLDFAST_TLS_CERT: 'cert.pem',
      HOLDFAST_TLS_KEY: 'key.pem',
      HOLDFAST_DATA_DIR: '/var/lib/holdfast',
      HOLDFAST_NODE_ID: 'n1',
      HOLDFAST_HOST: 'h',
      HOLDFAST_ZONE: 'z',
      HOLDFAST_HTTP: '9464',
      HOLDFAST_WEIGHT: '0.5',
      HOLDFAST_STANDBYS: '2',
      HOLDFAST_PARTITIONS: '32',
      HOLDFAST_REPLICAS: '3',
      HOLDFAST_STORE_MEMORY: '67108864',
      HOLDFAST_RETENTION_AGE: '36h',
      HOLDFAST_RETENTION_BYTES: '0',
      PATH: '/bin',
    })
    expect(said).toEqual({
      servers: 'nats://a:4222,b',
      cluster: 'shop',
      name: 'web-1',
      inboxPrefix: '_INBOX_shop.client',
      user: 'u',
      password: 'p',
      token: 't',
      nkey: 'SU1',
      nkeyFile: '/run/nk',
      creds: 'text',
      credsFile: '/run/creds',
      tls: { ca: 'ca.pem', cert: 'cert.pem', key: 'key.pem' },
      dataDir: '/var/lib/holdfast',
      nodeId: 'n1',
      host: 'h',
      zone: 'z',
      http: '9464',
      weight: 0.5,
      standbys: 2,
      partitions: 32,
      replicas: 3,
      storeMemory: 67_108_864,
      retention: { age: 129_600_000, bytes: 0 },
    })
  })

  it('says nothing by what is empty or absent (V2)', () => {
    expect(settingsFromEnvironment({ HOLDFAST_USER: '', HOLDFAST_WEIGHT: '', HOLDFAST_TLS_CA: undefined })).toEqual({})
  })

  it.each(['three', '0x', ' ', '1,5', 'Infinity', 'NaN'])('is INVALID where a number is %o', (text) => {
    const wrong = () => settingsFromEnvironment({ HOLDFAST_REPLICAS: text })
    expect(wrong).toThrow(expect.objectContaining({ code: 'INVALID' }))
    expect(wrong).toThrow(/HOLDFAST_REPLICAS/)
  })

  it('takes a whole number for a duration in milliseconds, as the command line does', () => {
    const age = (text: string) => settingsFromEnvironment({ HOLDFAST_RETENTION_AGE: text }).retention?.age
    for (const text of ['86400000', '0', '24h', '1d']) expect(age(text)).toBe(parseDuration(text))
    expect(age('86400000')).toBe(86_400_000)
  })

  it.each(['a day', '5.5', '-1', '-1h', '1e3', '0x5', ' 5', ' '])('is INVALID where a duration is %o', (text) => {
    const wrong = () => settingsFromEnvironment({ HOLDFAST_RETENTION_AGE: text })
    expect(wrong).toThrow(expect.objectContaining({ code: 'INVALID' }))
    expect(wrong).toThrow(/HOLDFAST_RETENTION_AGE is not a duration/)
  })
})

describe('options, completed by the environment (V1)', () => {
  it('take what they leave out, and keep what they have', () => {
    const env = { HOLDFAST_SERVERS: 'env', HOLDFAST_CLUSTER: 'env', HOLDFAST_ZONE: 'env' }
    const { settings } = completed({ servers: 'own', cluster: undefined, actors: [] }, env)
    expect(settings).toEqual({ servers: 'own', cluster: 'env', zone: 'env', actors: [] })
  })

  it('take each part of a retention by itself', () => {
    const env = { HOLDFAST_RETENTION_AGE: '1h', HOLDFAST_RETENTION_BYTES: '5' }
    expect(completed({ retention: { age: '2h' } }, env).settings).toEqual({ retention: { age: '2h', bytes: 5 } })
    expect(completed({}, env).settings).toEqual({ retention: { age: 3_600_000, bytes: 5 } })
    expect(completed({ retention: { bytes: 6 } }, {}).settings).toEqual({ retention: { bytes: 6 } })
  })

  it.each<[string, object, object]>([
    ['another way', { servers: 's', token: 'own' }, { servers: 's', token: 'own' }],
    ['one in an address', { servers: ['a', 'nats://u:p@b'] }, { servers: ['a', 'nats://u:p@b'] }],
    [
      'a user, whose password the environment has',
      { servers: 's', user: 'o' },
      { servers: 's', user: 'o', password: 'p' },
    ],
    ['a whole one', { servers: 's', user: 'o', password: 'w' }, { servers: 's', user: 'o', password: 'w' }],
    ['none', { servers: 's' }, { servers: 's', user: 'u', password: 'p', credsFile: 'f' }],
  ])('log in by one way as a whole; the options name %s', (_, options, expected) => {
    const env = { HOLDFAST_USER: 'u', HOLDFAST_PASSWORD: 'p', HOLDFAST_CREDS_FILE: 'f' }
    expect(completed(options, env).settings).toEqual(expected)
  })

  it('have TLS as a whole', () => {
    const env = { HOLDFAST_TLS_CA: 'env', HOLDFAST_TLS_KEY: 'env' }
    expect(completed({ tls: { ca: 'own' } }, env).settings).toEqual({ tls: { ca: 'own' } })
  })

  it('of a local server know nothing of NATS', () => {
    const env = { HOLDFAST_SERVERS: 's', HOLDFAST_TOKEN: 't', HOLDFAST_REPLICAS: '3', HOLDFAST_DATA_DIR: 'd' }
    expect(completed({ embedded: true }, env).settings).toEqual({ embedded: true, dataDir: 'd' })
  })

  it('are not changed, nor is the environment', () => {
    const options = Object.freeze({ user: 'u' })
    const env = Object.freeze({ HOLDFAST_PASSWORD: 'p' })
    expect(completed(options, env).settings).not.toBe(options)
  })
})

describe('a variable that means nothing (V3)', () => {
  it.each([
    ['HOLDFAST_SERVER', 'HOLDFAST_SERVERS'],
    ['HOLDFAST_PASWORD', 'HOLDFAST_PASSWORD'],
    ['HOLDFAST_USERNAME', 'HOLDFAST_USER'],
    ['HOLDFAST_CREDENTIALS_FILE', 'HOLDFAST_CREDS_FILE'],
    ['HOLDFAST_CA_CERT', 'HOLDFAST_TLS_CERT'],
    ['HOLDFAST_NODEID', 'HOLDFAST_NODE_ID'],
  ])('%s is told with the nearest, and without its value', (variable, nearest) => {
    const { settings, events } = completed({}, { [variable]: 'secret', HOLDFAST_ZONE: 'z' })
    expect(events).toEqual([{ type: 'environment.unknown', variable, nearest }])
    expect(settings).toEqual({ zone: 'z' })
  })

  it('is one of ours only', () => {
    expect(unknownVariables({ PATH: '', HOLDFASTING: '', holdfast_user: '', HOLDFAST_USER: '' })).toEqual([])
  })
})
