import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { roles } from '../security/roles.ts'
import { natsServerBinary } from '../support/nats-server.ts'

const folder = fileURLToPath(new URL('../../deploy/nats/', import.meta.url))
const run = promisify(execFile)

let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'holdfast-conf-'))
})
afterEach(() => rm(home, { recursive: true, force: true }))

const variable = (role: string) => `${role.toUpperCase()}_PASSWORD`
const passwords = () => Object.fromEntries(roles.map((role) => [variable(role), `${role}-0a1b`]))

/** What the server says to server.conf with the accounts in it. */
async function judge(env: Record<string, string>): Promise<string> {
  await cp(join(folder, 'accounts.conf'), join(home, 'accounts.conf'))
  const server = await readFile(join(folder, 'server.conf'), 'utf8')
  expect(server).toContain('\n# include accounts.conf\n')
  await writeFile(join(home, 'server.conf'), server.replace('# include accounts.conf', 'include accounts.conf'))
  const words = ['-t', '-c', join(home, 'server.conf')]
  const { stdout, stderr } = await run(natsServerBinary(), words, { env: { NATS_STORE_DIR: home, ...env } })
  return stdout + stderr
}

describe('deploy/nats/accounts.conf', () => {
  it('is accepted by the server, included as server.conf offers it', async () => {
    expect(await judge(passwords())).toContain('is valid')
  })

  it.each(roles)('is refused while the password of the %s is missing', async (role) => {
    const { [variable(role)]: _, ...others } = passwords()
    await expect(judge(others)).rejects.toThrow(variable(role))
  })

  it('holds no password, and grants nothing by the dozen', async () => {
    const text = await readFile(join(folder, 'accounts.conf'), 'utf8')
    const settings = text.replaceAll(/^\s*#.*$/gm, '')
    for (const [, password] of settings.matchAll(/password: (\S+?),/g)) expect(password).toMatch(/^\$[A-Z]+_PASSWORD$/)
    expect(settings.match(/password:/g)).toHaveLength(roles.length)
    expect(settings).not.toMatch(/"(?:\$JS|\$JS\.API|\$KV|\$SYS|_INBOX|holdfast)\.>"|">"|"\*"|allow_responses/)
  })
})
