/** Certificates for a test, made by `openssl` in a folder of the test's own: PEM files, valid for a day. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

export interface Pair {
  readonly cert: string
  readonly key: string
}

export class Certificates {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  /** An authority of its own. */
  authority(name: string): Pair {
    const pair = this.#pair(name)
    this.#openssl('req', '-x509', ...newKey(pair), '-days', '1', '-subj', `/CN=${name}`, '-out', pair.cert)
    return pair
  }

  /** `names`: as in `subjectAltName`, e.g. `IP:127.0.0.1`. */
  signed(name: string, by: Pair, names: string): Pair {
    const pair = this.#pair(name)
    const request = join(this.#folder, `${name}.csr`)
    const extension = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=${names}`]
    this.#openssl('req', ...newKey(pair), ...extension, '-out', request)
    const authority = ['-CA', by.cert, '-CAkey', by.key, '-CAcreateserial', '-copy_extensions', 'copy']
    this.#openssl('x509', '-req', '-in', request, ...authority, '-days', '1', '-out', pair.cert)
    return pair
  }

  #pair(name: string): Pair {
    return { cert: join(this.#folder, `${name}.pem`), key: join(this.#folder, `${name}-key.pem`) }
  }

  #openssl(...words: string[]): void {
    execFileSync('openssl', words, { cwd: this.#folder, stdio: ['ignore', 'ignore', 'pipe'] })
  }
}

const newKey = ({ key }: Pair) => [
  '-newkey',
  'ec',
  '-pkeyopt',
  'ec_paramgen_curve:prime256v1',
  '-nodes',
  '-keyout',
  key,
]
