/**
 * deploy/kubernetes without Kubernetes: its job, two of its pods and the hook that runs before one is stopped, as processes, on a server with
 * the accounts of deploy/nats. What Kubernetes and the image put in is put in here: values of fields and secrets, and the actors.
 */
import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import type { IJob } from 'kubernetes-models/batch/v1'
import type { IStatefulSet } from 'kubernetes-models/apps/v1'
import type { IContainer } from 'kubernetes-models/v1'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { parse } from 'yaml'
import { builtIndex, builtProgram, jsonOf, run, start, stopAll } from '../cli/program.ts'
import { build } from '../support/build.ts'
import { root } from '../docs/markdown.ts'
import { passwordOf, roles, startServerWithRoles } from '../security/roles.ts'
import type { TestServer } from '../support/nats-server.ts'

const timeout = 120_000
let folder: string
let server: TestServer

async function containerOf(name: string): Promise<IContainer> {
  const manifest = parse(await readFile(join(root, 'deploy/kubernetes', name), 'utf8')) as IStatefulSet | IJob
  return manifest.spec!.template.spec!.containers[0]!
}

const secret = Object.fromEntries(roles.map((role) => [`${role.toUpperCase()}_PASSWORD`, passwordOf(role)]))

/** The environment of a container in the pod of that name. */
function envIn({ env = [] }: IContainer, pod: string): Record<string, string> {
  const fields: Record<string, string> = { 'metadata.name': pod, 'spec.nodeName': `machine-of-${pod}` }
  const given = env.map(({ name, value, valueFrom }) => {
    const { fieldRef, secretKeyRef } = valueFrom ?? {}
    return [name, value ?? fields[fieldRef?.fieldPath ?? ''] ?? secret[secretKeyRef?.key ?? ''] ?? ''] as const
  })
  return {
    ...Object.fromEntries(given),
    HOLDFAST_SERVERS: server.url,
    HOLDFAST_DATA_DIR: join(folder, pod),
    // A port of its own, which a pod has anyway.
    HOLDFAST_HTTP: '',
  }
}

beforeAll(async () => {
  build()
  folder = await mkdtemp(join(tmpdir(), 'holdfast-kubernetes-'))
  await mkdir(join(folder, 'actors'))
  await writeFile(
    join(folder, 'actors', 'counter.mjs'),
    `import { actor } from ${JSON.stringify(builtIndex)}
export const Counter = actor('counter', { version: 1, state: () => 0, commands: { add: (ctx, n) => (ctx.state += n) }, queries: {} })`,
  )
  // As in the image: the program by its name.
  await mkdir(join(folder, 'bin'))
  await writeFile(join(folder, 'bin', 'holdfast'), `#!/bin/sh\nexec "${process.execPath}" "${builtProgram}" "$@"\n`)
  await chmod(join(folder, 'bin', 'holdfast'), 0o755)
  server = await startServerWithRoles('holdfast')
}, timeout)

afterAll(async () => {
  await stopAll()
  await server?.stop()
  await rm(folder, { recursive: true, force: true })
}, timeout)

it('sets up, runs and drains a cluster, each with the login of its role', { timeout }, async () => {
  const provision = await containerOf('provision.yaml')
  // This server is alone.
  const words = provision.args!.map((word, i, all) => (all[i - 1] === '--replicas' ? '1' : word))
  const done = await run([...words, '--json'], { env: envIn(provision, 'provision') })
  expect(jsonOf(done)).toEqual({ cluster: 'holdfast', partitions: 16, created: 18 })

  const node = await containerOf('statefulset.yaml')
  const args = node.args!.map((word) => (word === '/app/actors' ? 'actors' : word))
  const pods = ['holdfast-0', 'holdfast-1'].map((pod) => {
    const env = envIn(node, pod)
    return { env, process: start(args, { cwd: folder, env }) }
  })
  await Promise.all(pods.map(({ process }) => process.printed(/"type":"ready"/)))

  const operator = { ...pods[0]!.env, HOLDFAST_USER: 'operator', HOLDFAST_PASSWORD: passwordOf('operator') }
  const env = { ...operator, HOLDFAST_INBOX_PREFIX: '_INBOX_holdfast.operator' }
  const members = async () =>
    (jsonOf(await run(['members', '--json'], { env })) as { id: string; host: string; owned: number }[]).map(
      ({ id, host, owned }) => ({ id, host, owned }),
    )
  const shared = [0, 1].map((i) => ({ id: `holdfast-${i}`, host: `machine-of-holdfast-${i}`, owned: 8 }))
  while (JSON.stringify(await members()) !== JSON.stringify(shared));

  const [shell, ...line] = node.lifecycle!.preStop!.exec!.command!
  const { PATH = '' } = process.env
  const hook = promisify(execFile)(shell!, line, {
    env: { ...pods[1]!.env, PATH: `${join(folder, 'bin')}${delimiter}${PATH}` },
  })
  expect((await hook).stdout).toBe('holdfast-1 owns nothing any more: it can be stopped\n')
  await expect.poll(members, { timeout: 30_000 }).toEqual([
    { ...shared[0], owned: 16 },
    { ...shared[1], owned: 0 },
  ])
  pods[1]!.process.kill('SIGTERM')
  expect(await pods[1]!.process.ended).toBe(0)
})
