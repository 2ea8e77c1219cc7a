/**
 * How a connection logs in to NATS: by exactly one way, or by none.
 *
 * W1. What can never work is `INVALID` before anything is connected: two ways at once, a half of one, a seed that cannot sign.
 * W2. No error holds a secret, or a cause that might: it names the setting and the file.
 * W3. A file is read again at each login, so that credentials can be replaced while the process runs; where it has become unusable
 *     the last ones that could be used are tried.
 */
import {
  credsAuthenticator,
  nkeyAuthenticator,
  type Authenticator,
  type NodeConnectionOptions,
} from '@nats-io/transport-node'
import { HoldfastError } from '../../protocol/errors.ts'
import { readNamedFile } from './named-file.ts'
import type { LoginSettings } from './settings.ts'

/** A user and password, or a token, that stood in an address. */
export interface AddressLogin {
  readonly user: string | undefined
  readonly password: string | undefined
}

const ways = ['user', 'token', 'nkey', 'nkeyFile', 'creds', 'credsFile'] as const

/** `address`: of the first server whose address holds one. */
export function loginOf(
  settings: LoginSettings,
  address: AddressLogin | undefined,
): Pick<NodeConnectionOptions, 'user' | 'pass' | 'token' | 'authenticator'> {
  for (const name of [...ways, 'password'] as const) {
    const value: unknown = settings[name]
    if (value !== undefined && (typeof value !== 'string' || value === '')) {
      throw invalid(`\`${name}\` is ${value === '' ? 'empty' : 'not a text'}: give one, or leave it out`)
    }
  }
  // As every NATS client has it: a lone name before the host is a token.
  const given = {
    ...settings,
    user: settings.user ?? (address?.password === undefined ? undefined : address.user),
    password: settings.password ?? address?.password,
    token: settings.token ?? (address?.password === undefined ? address?.user : undefined),
  }
  const [way, another] = ways.filter((name) => given[name] !== undefined)
  if (another !== undefined) {
    throw invalid(
      `there is more than one way to log in (\`${way}\` and \`${another}\`): give only one of ${ways.map((name) => `\`${name}\``).join(', ')}`,
    )
  }
  const { user, password, token, nkey, nkeyFile, creds, credsFile } = given
  if (password !== undefined && user === undefined) {
    throw invalid('there is a `password` without a `user`: give both, or another way to log in')
  }
  if (user !== undefined) return { user, ...(password === undefined ? {} : { pass: password }) }
  if (token !== undefined) return { token }
  if (nkey !== undefined) return byText('nkey', nkey)
  if (creds !== undefined) return byText('creds', creds)
  if (nkeyFile !== undefined) return byFile('nkeyFile', 'nkey', nkeyFile)
  if (credsFile !== undefined) return byFile('credsFile', 'creds', credsFile)
  return {}
}

type Kind = 'nkey' | 'creds'

const utf8 = new TextEncoder()

function authenticatorFrom(kind: Kind, text: string): Authenticator {
  if (kind === 'nkey') return nkeyAuthenticator(utf8.encode(text.trim()))
  return credsAuthenticator(utf8.encode(text.replaceAll('\r\n', '\n')))
}

/** Signs something once: what cannot sign now never can. The cause is dropped (W2). */
function tried(kind: Kind, text: string, named: string): Authenticator {
  const authenticator = authenticatorFrom(kind, text)
  try {
    authenticator('nonce')
    return authenticator
  } catch {
    const expected = kind === 'nkey' ? 'the seed of a user, SU…' : 'a .creds file, with a JWT and the seed of a user'
    throw invalid(`${named} cannot be used to log in: it should hold ${expected}`)
  }
}

const byText = (kind: Kind, text: string) => ({ authenticator: tried(kind, text, `\`${kind}\``) })

function byFile(setting: 'nkeyFile' | 'credsFile', kind: Kind, path: string): { authenticator: Authenticator } {
  const read = () => tried(kind, readNamedFile(setting, path), `the file ${path} of \`${setting}\``)
  let usable = read()
  let isFirst = true
  return {
    authenticator(nonce) {
      // Just read.
      if (isFirst) isFirst = false
      else {
        try {
          usable = read()
        } catch {
          // W3: it may be in the middle of being replaced.
        }
      }
      return usable(nonce)
    },
  }
}

const invalid = (message: string) => new HoldfastError('INVALID', message)
