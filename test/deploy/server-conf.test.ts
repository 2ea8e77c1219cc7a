import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Certificates } from '../security/certificates.ts'
import { natsServerBinary } from '../support/nats-server.ts'

const conf = fileURLToPath(new URL('../../deploy/nats/server.conf', import.meta.url))
const run = promisify(execFile)

let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'holdfast-conf-'))
})
afterEach(() => rm(home, { recursive: true, force: true }))

/** What the server says to a configuration file; rejects if it refuses it. */
async function judge(file: string, env: Record<string, string>): Promise<string> {
  const { stdout, stderr } = await run(natsServerBinary(), ['-t', '-c', file], { env })
  return stdout + stderr
}

describe('deploy/nats/server.conf', () => {
  it('is accepted by the server', async () => {
    expect(await judge(conf, { NATS_STORE_DIR: home })).toContain('is valid')
  })

  it('is refused while nobody says where the store is to be', async () => {
    await expect(judge(conf, {})).rejects.toThrow(/NATS_STORE_DIR/)
  })

  it('offers only settings that the server knows', async () => {
    const text = await readFile(conf, 'utf8')
    // Offered settings begin in lower case and are `name: value`, or the lines of a block.
    const offered = /^(\s*)# (\s*(?:[a-z_]+: \S.*|[a-z_]+ \{|\}))$/gm
    expect([...text.matchAll(offered)].length).toBeGreaterThan(8)
    const all = join(home, 'all.conf')
    const made = new Certificates(home)
    made.signed('server', made.authority('ca'), 'IP:127.0.0.1')
    await writeFile(all, text.replace(offered, '$1$2').replaceAll('/etc/nats', home))
    expect(await judge(all, { NATS_STORE_DIR: home })).toContain('is valid')
  })

  it('listens on loopback only', async () => {
    const text = await readFile(conf, 'utf8')
    expect(text).toMatch(/^host: 127\.0\.0\.1$/m)
    expect(text).not.toMatch(/^\s*(http|listen):/m)
  })
})
