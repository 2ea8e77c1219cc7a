/**
 * The variables `HOLDFAST_…`: what an operator can say without touching the program.
 *
 * V1. They stand for options that are left out; an option that is given wins. A login is taken as a whole: where the options name a way to
 *     log in, variables of another way count for nothing. So it is with `tls`; parts of `retention` are options of their own.
 * V2. An empty variable is none.
 * V3. A variable that means nothing is told to the observer with the known one that is most like it, and ignored: platforms set
 *     variables of their own (Kubernetes: `HOLDFAST_PORT` for a service of that name), so it is no error.
 * V4. This is pure: whoever calls it reads the environment. No error holds what is in a variable, other than in a number.
 */
import type { LoginSettings, NatsSettings } from '../adapters/nats/settings.ts'
import type { Observer } from '../ports/observer.ts'
import { durationMsOfText, type Duration } from '../protocol/duration.ts'
import { HoldfastError } from '../protocol/errors.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** What the variables say, in the names of the options. */
export interface EnvironmentSettings extends Partial<
  Pick<NatsSettings, 'name' | 'inboxPrefix' | 'tls' | keyof LoginSettings>
> {
  readonly servers?: string
  readonly cluster?: string
  readonly dataDir?: string
  readonly nodeId?: string
  readonly host?: string
  readonly zone?: string
  readonly http?: string
  readonly weight?: number
  readonly standbys?: number
  readonly partitions?: number
  readonly replicas?: number
  readonly storeMemory?: number
  readonly retention?: { readonly age?: Duration; readonly bytes?: number }
}

const texts = {
  HOLDFAST_SERVERS: 'servers',
  HOLDFAST_CLUSTER: 'cluster',
  HOLDFAST_NAME: 'name',
  HOLDFAST_INBOX_PREFIX: 'inboxPrefix',
  HOLDFAST_USER: 'user',
  HOLDFAST_PASSWORD: 'password',
  HOLDFAST_TOKEN: 'token',
  HOLDFAST_NKEY: 'nkey',
  HOLDFAST_NKEY_FILE: 'nkeyFile',
  HOLDFAST_CREDS: 'creds',
  HOLDFAST_CREDS_FILE: 'credsFile',
  HOLDFAST_DATA_DIR: 'dataDir',
  HOLDFAST_NODE_ID: 'nodeId',
  HOLDFAST_HOST: 'host',
  HOLDFAST_ZONE: 'zone',
  HOLDFAST_HTTP: 'http',
} as const

const numbers = {
  HOLDFAST_WEIGHT: 'weight',
  HOLDFAST_STANDBYS: 'standbys',
  HOLDFAST_PARTITIONS: 'partitions',
  HOLDFAST_REPLICAS: 'replicas',
  HOLDFAST_STORE_MEMORY: 'storeMemory',
} as const

const ages = { HOLDFAST_RETENTION_AGE: 'age' } as const
const sizes = { HOLDFAST_RETENTION_BYTES: 'bytes' } as const

/** Each a PEM text or the name of a file. */
const tlsParts = { HOLDFAST_TLS_CA: 'ca', HOLDFAST_TLS_CERT: 'cert', HOLDFAST_TLS_KEY: 'key' } as const

const known = [texts, tlsParts, numbers, ages, sizes].flatMap((names) => Object.keys(names))

/** Throws `INVALID` for a number or duration that is none. */
export function settingsFromEnvironment(env: Environment): EnvironmentSettings {
  const numberOf = (variable: string, text: string) => {
    const value = Number(text)
    if (text.trim() !== '' && Number.isFinite(value)) return value
    throw new HoldfastError('INVALID', `the variable ${variable} is "${text}": give a number`)
  }
  const asIs = (_: string, text: string) => text
  const durationOf = (variable: string, text: string) => durationMsOfText(text, `the variable ${variable}`)
  const tls = picked(env, tlsParts, asIs)
  const retention = { ...picked(env, ages, durationOf), ...picked(env, sizes, numberOf) }
  return {
    ...picked(env, texts, asIs),
    ...picked(env, numbers, numberOf),
    ...(Object.keys(tls).length === 0 ? {} : { tls }),
    ...(Object.keys(retention).length === 0 ? {} : { retention }),
  }
}

export interface UnknownVariable {
  readonly variable: string
  readonly nearest: string
}

/** V3. By the order of their names. */
export function unknownVariables(env: Environment): readonly UnknownVariable[] {
  return Object.keys(env)
    .filter((variable) => variable.startsWith('HOLDFAST_') && !known.includes(variable))
    .toSorted()
    .map((variable) => ({ variable, nearest: nearestTo(variable) }))
}

const loginNames = ['user', 'password', 'token', 'nkey', 'nkeyFile', 'creds', 'credsFile'] as const

/** The options, completed by the environment (V1); tells of unknown variables (V3). */
export function withEnvironment<Options extends object>(
  options: Options,
  env: Environment,
  observer: Observer,
): Options & EnvironmentSettings {
  for (const unknown of unknownVariables(env)) observer.emit({ type: 'environment.unknown', ...unknown })
  const said: Record<string, unknown> = { ...settingsFromEnvironment(env) }
  const given: Record<string, unknown> = Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  )
  const { user, password } = given
  const ownLogin = loginNames.some((name) => given[name] !== undefined) || holdsLogin(given['servers'])
  if (ownLogin) {
    // A user in the program and its password in the environment are one login.
    if (user !== undefined && password === undefined) given['password'] = said['password']
    for (const name of loginNames) delete said[name]
  }
  if (said['retention'] !== undefined && given['retention'] !== undefined) {
    given['retention'] = { ...said['retention'], ...given['retention'] }
  }
  if (given['embedded'] !== undefined) for (const name of natsNames) delete said[name]
  return { ...said, ...given } as Options & EnvironmentSettings
}

/** They mean nothing to a local server. */
const natsNames = [...loginNames, 'servers', 'name', 'inboxPrefix', 'tls', 'replicas'] as const

/** Does an address hold a user or token? */
const holdsLogin = (servers: unknown): boolean => [servers].flat().join().includes('@')

function picked<Name extends string, Value>(
  env: Environment,
  names: Readonly<Record<string, Name>>,
  parse: (variable: string, text: string) => Value,
): { [name in Name]?: Value } {
  const found: { [name in Name]?: Value } = {}
  for (const [variable, name] of Object.entries(names)) {
    const text = env[variable]
    if (text !== undefined && text !== '') found[name] = parse(variable, text)
  }
  return found
}

function nearestTo(variable: string): string {
  let nearest = known[0]!
  let least = Infinity
  for (const candidate of known) {
    // Of two as near the one that begins alike.
    const distance = editDistance(variable, candidate) - commonPrefix(variable, candidate) / (variable.length + 1)
    if (distance < least) [nearest, least] = [candidate, distance]
  }
  return nearest
}

function commonPrefix(a: string, b: string): number {
  let length = 0
  while (length < a.length && a[length] === b[length]) length++
  return length
}

/** Insertions and deletions that make one of the other. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const replaced = row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 2)
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[to.length]!
}
