/** The nats-server of a run: what NATS_SERVER_BIN says, else the newest of those on this machine, else one that is fetched. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from '../examples/support/child.ts'

interface FoundServer {
  readonly path: string
  readonly version: string
}

export async function newestServer(): Promise<FoundServer> {
  const places = process.env['NATS_SERVER_BIN'] === undefined ? ['path', 'cache'] : ['env']
  const found = await Promise.all(places.map((place) => find('--from', place).catch(() => undefined)))
  const newestFirst = found.filter((server) => server !== undefined).sort((a, b) => compare(b.version, a.version))
  return newestFirst[0] ?? find()
}

/** Rejects where there is none, with what the script has tried. */
async function find(...args: readonly string[]): Promise<FoundServer> {
  const script = join(root, 'deploy/nats/get-nats-server')
  const say = async (...more: readonly string[]) =>
    (await promisify(execFile)(script, [...args, ...more])).stdout.trim()
  return { path: await say(), version: await say('--version-only') }
}

const compare = (a: string, b: string) => a.localeCompare(b, 'en', { numeric: true })
