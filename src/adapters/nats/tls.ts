/**
 * TLS of a connection: certificates and keys as texts or files.
 *
 * X1. All of it is read and tried before anything is connected: `INVALID` names the setting and the file, never what is in it.
 * X2. Of a file the name goes on to the connection, which reads it again at each dial: certificates can be replaced while the process runs.
 */
import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'
import { resolve } from 'node:path'
import type { TlsOptions } from '@nats-io/transport-node'
import { HoldfastError } from '../../protocol/errors.ts'
import { readNamedFile } from './named-file.ts'
import type { TlsSettings } from './settings.ts'

const known: ReadonlySet<string> = new Set(['ca', 'cert', 'key', 'handshakeFirst'])

export function tlsOf(settings: TlsSettings): TlsOptions {
  const stranger = Object.keys(settings).find((name) => !known.has(name))
  if (stranger !== undefined) {
    throw invalid(`\`tls.${stranger}\` is not a setting: use ca, cert and key, each a PEM text or the name of a file`)
  }
  const { handshakeFirst } = settings
  const ca = pem('ca', settings.ca)
  const cert = pem('cert', settings.cert)
  const key = pem('key', settings.key)
  if ((cert === undefined) !== (key === undefined)) {
    throw invalid('`tls.cert` and `tls.key` belong together: give both, or none')
  }
  for (const part of [ca, cert]) {
    if (part !== undefined) attempt(part, 'a certificate', () => new X509Certificate(part.text))
  }
  if (cert !== undefined && key !== undefined) {
    const own = new X509Certificate(cert.text)
    const secret: KeyObject = attempt(key, 'a private key without a passphrase', () => createPrivateKey(key.text))
    if (!own.checkPrivateKey(secret)) throw invalid(`${key.named} is not the key of the certificate in ${cert.named}`)
  }
  return {
    ...(ca === undefined ? {} : ca.file ? { caFile: ca.given } : { ca: ca.given }),
    ...(cert === undefined ? {} : cert.file ? { certFile: cert.given } : { cert: cert.given }),
    ...(key === undefined ? {} : key.file ? { keyFile: key.given } : { key: key.given }),
    ...(handshakeFirst === undefined ? {} : { handshakeFirst }),
  }
}

interface Part {
  readonly given: string
  readonly file: boolean
  readonly text: string
  /** For messages. */
  readonly named: string
}

function pem(name: 'ca' | 'cert' | 'key', given: string | undefined): Part | undefined {
  if (given === undefined) return undefined
  if (typeof given !== 'string' || given === '') throw invalid(`\`tls.${name}\` is a PEM text or the name of a file`)
  const file = !given.includes('-----BEGIN ')
  // A text over several lines is no name: it would stand in the message.
  if (file && given.includes('\n')) throw invalid(`\`tls.${name}\` is not a PEM text: it has no line -----BEGIN …`)
  const text = file ? readNamedFile(`tls.${name}`, given) : given
  return {
    given: file ? resolve(given) : given,
    file,
    text,
    named: file ? `the file ${given} of \`tls.${name}\`` : `\`tls.${name}\``,
  }
}

function attempt<T>(part: Part, expected: string, parse: () => T): T {
  try {
    return parse()
  } catch {
    throw invalid(`${part.named} cannot be used: it should hold ${expected}, as PEM`)
  }
}

const invalid = (message: string) => new HoldfastError('INVALID', message)
