/**
 * What all commands take: where the cluster is, how to log in, how to answer. Options win over variables.
 */
import { InvalidArgumentError, Option, type Command } from 'commander'
import type { NatsSettings } from '../adapters/nats/settings.ts'
import { withEnvironment } from '../node/environment.ts'
import type { Observer } from '../ports/observer.ts'
import { durationMsOfText } from '../protocol/duration.ts'
import { messageOf } from '../protocol/errors.ts'
import { defaultCluster } from '../protocol/ids.ts'

/** As commander reads them. */
interface GlobalOptions {
  readonly servers?: string
  readonly cluster?: string
  readonly user?: string
  readonly password?: string
  readonly token?: string
  readonly nkey?: string
  readonly creds?: string
  readonly tlsCa?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly inboxPrefix?: string
  readonly json?: true
  readonly timeout?: number
}

export interface Settings {
  readonly nats: NatsSettings
  readonly cluster: string
  /** How long a command may take, ms. */
  readonly timeoutMs: number
}

/** Where nobody says anything else. */
export const defaultServers = 'nats://127.0.0.1:4222'

const defaultTimeoutMs = 10_000
/** To one server, ms. */
const longestConnectMs = 5_000

export function addGlobalOptions(program: Command): void {
  const options = [
    new Option('--servers <addresses>', `NATS servers, joined by "," (default ${defaultServers})`),
    new Option('--cluster <name>', `the cluster (default ${defaultCluster})`),
    new Option('--user <name>', 'user of NATS'),
    new Option('--password <text>', 'its password; better by HOLDFAST_PASSWORD'),
    new Option('--token <text>', 'token of NATS; better by HOLDFAST_TOKEN'),
    new Option('--nkey <file>', "file with the seed of a user's nkey"),
    new Option('--creds <file>', '.creds file of a user'),
    new Option('--tls-ca <file>', 'certificate of the authority to trust'),
    new Option('--tls-cert <file>', "this side's certificate"),
    new Option('--tls-key <file>', 'its private key'),
    new Option('--inbox-prefix <subject>', 'replies come to subjects under it (default _INBOX)'),
    new Option('--timeout <duration>', 'how long to wait for the answer: 500ms, 10s, 2m (default 10s)').argParser(
      parseDuration,
    ),
    new Option('--json', 'JSON on standard output, and nothing else'),
  ]
  for (const option of options) program.addOption(option)
}

export function parseDuration(text: string): number {
  try {
    return durationMsOfText(text, 'it')
  } catch (error) {
    throw new InvalidArgumentError(messageOf(error))
  }
}

/** `observer` is told of variables that mean nothing. Throws `INVALID`. */
export function settingsOf(command: Command, env: NodeJS.ProcessEnv, observer: Observer): Settings {
  const options = command.optsWithGlobals<GlobalOptions>()
  const { servers, cluster, user, password, token, nkey, creds, tlsCa, tlsCert, tlsKey, inboxPrefix } = options
  const tls = { ...given('ca', tlsCa), ...given('cert', tlsCert), ...given('key', tlsKey) }
  const said = withEnvironment(
    {
      ...given('servers', servers),
      ...given('cluster', cluster),
      ...given('user', user),
      ...given('password', password),
      ...given('token', token),
      ...given('nkeyFile', nkey),
      ...given('credsFile', creds),
      ...given('inboxPrefix', inboxPrefix),
      ...(Object.keys(tls).length === 0 ? {} : { tls }),
    },
    env,
    observer,
  )
  const timeoutMs = options.timeout ?? defaultTimeoutMs
  const connectTimeoutMs = Math.max(1, Math.min(timeoutMs, longestConnectMs))
  return {
    nats: { ...natsPart(said), servers: said.servers ?? defaultServers, connectTimeoutMs },
    cluster: said.cluster ?? defaultCluster,
    timeoutMs,
  }
}

const given = <Name extends string, Value>(name: Name, value: Value | undefined): { readonly [N in Name]?: Value } =>
  (value === undefined ? {} : { [name]: value }) as { readonly [N in Name]?: Value }

/** What is said about a node is of no interest here. */
function natsPart(said: Partial<NatsSettings>): Partial<NatsSettings> {
  const { name, inboxPrefix, user, password, token, nkey, nkeyFile, creds, credsFile, tls } = said
  return {
    ...given('name', name),
    ...given('inboxPrefix', inboxPrefix),
    ...given('user', user),
    ...given('password', password),
    ...given('token', token),
    ...given('nkey', nkey),
    ...given('nkeyFile', nkeyFile),
    ...given('creds', creds),
    ...given('credsFile', credsFile),
    ...given('tls', tls),
  }
}

/** The servers as one text, without the users and passwords that addresses may hold. */
export const addressesOf = (servers: NatsSettings['servers']): string =>
  (typeof servers === 'string' ? servers.split(',') : servers)
    .map((address) => address.trim().replace(/^([a-z]+:\/\/)?[^@/]*@/i, '$1'))
    .join(',')

/** The variables that say the same, for a process that this one starts: secrets never stand in its arguments. */
export function variablesOf({ nats, cluster }: Settings): NodeJS.ProcessEnv {
  const { servers, inboxPrefix, user, password, token, nkey, nkeyFile, creds, credsFile, tls } = nats
  return {
    HOLDFAST_SERVERS: typeof servers === 'string' ? servers : servers.join(','),
    HOLDFAST_CLUSTER: cluster,
    HOLDFAST_INBOX_PREFIX: inboxPrefix,
    HOLDFAST_USER: user,
    HOLDFAST_PASSWORD: password,
    HOLDFAST_TOKEN: token,
    HOLDFAST_NKEY: nkey,
    HOLDFAST_NKEY_FILE: nkeyFile,
    HOLDFAST_CREDS: creds,
    HOLDFAST_CREDS_FILE: credsFile,
    HOLDFAST_TLS_CA: tls?.ca,
    HOLDFAST_TLS_CERT: tls?.cert,
    HOLDFAST_TLS_KEY: tls?.key,
  }
}
