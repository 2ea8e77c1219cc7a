/** Why a first connection to NATS could not be had, as one sentence that says what to do about it. */
import { errors } from '@nats-io/transport-node'
import { HoldfastError, messageOf } from '../../protocol/errors.ts'

export function connectError(servers: readonly string[], cause: unknown): HoldfastError {
  const where = servers.join(', ')
  const invalid = (sentence: string) => new HoldfastError('INVALID', sentence, { cause })
  if (cause instanceof errors.AuthorizationError || cause instanceof errors.UserAuthenticationExpiredError) {
    return invalid(
      `the NATS server at ${where} refuses the credentials (${cause.message}): correct the user, token, nkey or creds`,
    )
  }
  const tls = tlsSentence(cause)
  if (tls !== undefined) return invalid(`no TLS with the NATS server at ${where}: ${tls}`)
  if (cause instanceof errors.InvalidArgumentError) {
    return invalid(`the connection to NATS at ${where} is set up wrongly: ${cause.message}`)
  }
  return new HoldfastError(
    'RETRY',
    `no NATS server answers at ${where} (${messageOf(cause)}): start one, or correct \`servers\``,
    { cause },
  )
}

const untrusted: ReadonlySet<string> = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
])

function tlsSentence(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  const code = 'code' in error ? String(error.code) : ''
  if (untrusted.has(code)) {
    return `its certificate is not signed by anybody trusted here (${error.message}): give the certificate of its authority as \`tls.ca\``
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `its certificate is for another name (${error.message}): use a name in \`servers\` that it holds, or give the server a certificate for this one`
  }
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') {
    return `a certificate is not valid at this time (${error.message}): renew it, or set the clock right`
  }
  if (
    /CERTIFICATE_REQUIRED|certificate required|BAD_CERTIFICATE|bad certificate|UNKNOWN_CA|unknown ca/i.test(
      code + error.message,
    )
  ) {
    return `it asks for a certificate that it trusts (${error.message}): give \`tls.cert\` and \`tls.key\``
  }
  if (/does not support 'tls'/.test(error.message)) {
    return 'it offers none: enable `tls` in its configuration, or leave out `tls` and tls:// here'
  }
  if (code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_') || code === 'EPROTO') {
    return `the handshake failed (${error.message}): compare the settings of \`tls\` on both sides`
  }
  return undefined
}
