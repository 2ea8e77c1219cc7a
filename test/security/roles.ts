/** A server with deploy/nats/accounts.conf, for a cluster of any name, and how each role connects to it. */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { actor } from '../../src/index.ts'
import { startNatsServer, type TestServer } from '../support/nats-server.ts'

export const roles = ['node', 'client', 'watcher', 'provisioner', 'operator'] as const
export type Role = (typeof roles)[number]

const conf = fileURLToPath(new URL('../../deploy/nats/accounts.conf', import.meta.url))

export const passwordOf = (role: Role) => `${role}-5ecret-word`

/** deploy/nats/accounts.conf. A server takes its passwords from the environment of this process. */
export async function accountsOf(cluster: string): Promise<string> {
  for (const role of roles) process.env[`${role.toUpperCase()}_PASSWORD`] = passwordOf(role)
  const text = await readFile(conf, 'utf8')
  // As the file says it is done.
  return text.replaceAll('holdfast', cluster)
}

export async function startServerWithRoles(cluster: string, edit = (text: string) => text): Promise<TestServer> {
  return startNatsServer({ config: edit(await accountsOf(cluster)), syncAlways: false })
}

export const loginOf = (server: TestServer, cluster: string, role: Role) => ({
  servers: server.url,
  cluster,
  user: role,
  password: passwordOf(role),
  inboxPrefix: `_INBOX_${cluster}.${role}`,
})

export const Counter = actor('counter', {
  version: 1,
  state: () => 0,
  commands: {
    add(ctx, by: number) {
      ctx.state += by
      return ctx.state
    },
  },
  queries: { value: (state) => state },
})
