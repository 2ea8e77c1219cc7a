/**
 * deploy/kubernetes: every manifest by the schemas of Kubernetes and, since those let unknown fields pass, by the types made from them;
 * then by what the program, the image and the accounts of NATS are.
 */
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { StatefulSet, type IStatefulSet } from 'kubernetes-models/apps/v1'
import { Job, type IJob } from 'kubernetes-models/batch/v1'
import { NetworkPolicy, type INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1'
import { PodDisruptionBudget, type IPodDisruptionBudget } from 'kubernetes-models/policy/v1'
import { Namespace, Service, type IContainer, type IPodSpec, type IProbe, type IService } from 'kubernetes-models/v1'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { root } from '../docs/markdown.ts'
import { stagesOf, textsOf } from './dockerfile.ts'
import { accepted, ignored } from './said.ts'

const folder = join(root, 'deploy/kubernetes')
const read = (name: string): unknown => parse(readFileSync(join(folder, name), 'utf8'))
const kustomization = read('kustomization.yaml') as {
  resources: string[]
  namespace: string
  images: { name: string }[]
}

interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
}
const manifests = kustomization.resources.map((name) => [name, read(name) as Manifest] as const)
const statefulSet = (read('statefulset.yaml') as IStatefulSet).spec!
const job = (read('provision.yaml') as IJob).spec!
const pods = { node: statefulSet.template.spec!, provision: job.template.spec! } satisfies Record<string, IPodSpec>
const [node] = pods.node.containers as [IContainer]
const [provision] = pods.provision.containers as [IContainer]

/** Kinds by the module that has their types. */
const kinds = {
  'apps/v1': { StatefulSet },
  'batch/v1': { Job },
  'networking.k8s.io/v1': { NetworkPolicy },
  'policy/v1': { PodDisruptionBudget },
  v1: { Namespace, Service },
} as Record<string, Record<string, new (data: never) => { validate(): void }>>

/** The variables of a container; those whose value Kubernetes puts in have an empty one, and are known by their names. */
const envOf = ({ env = [] }: IContainer) =>
  Object.fromEntries(
    env.filter(({ name }) => name.startsWith('HOLDFAST_')).map(({ name, value = '' }) => [name, value]),
  )

describe('the manifests of deploy/kubernetes', () => {
  it('are all applied, and nothing else lies there', () => {
    const others = ['kustomization.yaml', 'nats-values.yaml']
    expect(readdirSync(folder).toSorted()).toEqual([...kustomization.resources, ...others].toSorted())
  })

  it.each(manifests)('%s is valid by the schema of its kind', (_, manifest) => {
    const Model = kinds[manifest.apiVersion]?.[manifest.kind]
    expect(Model, `${manifest.apiVersion} ${manifest.kind}`).toBeDefined()
    expect(() => new Model!(manifest as never).validate()).not.toThrow()
  })

  it('have no field that their kinds have not', { timeout: 60_000 }, async () => {
    // Inside the project, so that the types are found from there.
    const cache = join(root, 'node_modules/.cache')
    await mkdir(cache, { recursive: true })
    const home = await mkdtemp(join(cache, 'holdfast-manifests-'))
    try {
      const lines = manifests.map(([, manifest], i) => {
        const type = `import('kubernetes-models/${manifest.apiVersion}').I${manifest.kind}`
        return `export const manifest${i}: ${type} = ${JSON.stringify(manifest)}\n`
      })
      await writeFile(join(home, 'manifests.ts'), lines.join(''))
      const flags = '--noEmit --strict --skipLibCheck --module nodenext --target es2023 --types node'.split(' ')
      const tsc = join(root, 'node_modules/typescript/bin/tsc')
      const compile = promisify(execFile)(
        process.execPath,
        [tsc, ...flags, '--ignoreConfig', join(home, 'manifests.ts')],
        {
          cwd: root,
        },
      )
      const said = await compile.then(
        () => '',
        (error: { stdout: string }) => error.stdout,
      )
      expect(said).toBe('')
    } finally {
      await rm(home, { recursive: true, force: true })
    }
  })

  it('give the program command lines that it takes, and variables that it knows', async () => {
    expect((await accepted(node.args!)).command).toBe('node')
    const { command, options } = await accepted(provision.args!)
    expect(command).toBe('provision')
    expect(options).toMatchObject({ partitions: 16, replicas: 3 })
    expect(ignored(envOf(node))).toEqual([])
    expect(ignored(envOf(provision))).toEqual([])
  })

  it('drain a node before it is stopped, as an operator, and leave time for it and for the rest', async () => {
    const [shell, flag, line = ''] = node.lifecycle!.preStop!.exec!.command!
    expect([shell, flag]).toEqual(['sh', '-c'])
    const [, settings = '', drain = ''] = /^(.*) exec holdfast (.*)$/.exec(line) ?? []
    const set = Object.fromEntries(settings.split(' ').map((pair) => pair.split('=') as [string, string]))
    expect(ignored(set)).toEqual([])
    expect(set['HOLDFAST_USER']).toBe('operator')
    expect(drain).toContain('"$HOLDFAST_NODE_ID"')
    const { command, options } = await accepted(drain.replaceAll('"', '').split(' '))
    expect(command).toBe('drain')
    const seconds = Number(options['timeout']) / 1_000
    // A close has three parts of 2 s at most.
    expect(pods.node.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(seconds + 10)
  })

  it('agree with the image on the port, the folder of the data and the user', () => {
    const image = stagesOf(readFileSync(join(root, 'deploy/Dockerfile'), 'utf8')).at(-1)!
    const [port] = textsOf(image, 'EXPOSE').map(Number)
    const { HOLDFAST_HTTP, HOLDFAST_DATA_DIR } = envOf(node)
    expect(HOLDFAST_HTTP).toBe(`0.0.0.0:${port}`)
    expect(node.ports).toEqual([{ name: 'http', containerPort: port }])
    const probes = [node.startupProbe, node.readinessProbe, node.livenessProbe] as IProbe[]
    expect(probes.map(({ httpGet }) => httpGet)).toEqual(
      ['/healthz', '/readyz', '/healthz'].map((path) => ({ path, port: 'http' })),
    )
    expect((read('service.yaml') as IService).spec!.ports).toEqual([{ name: 'http', port, targetPort: 'http' }])
    expect((read('network-policy.yaml') as INetworkPolicy).spec!.ingress![0]!.ports).toEqual([
      { protocol: 'TCP', port },
    ])
    expect(statefulSet.template.metadata!.annotations!['prometheus.io/port']).toBe(String(port))
    expect([HOLDFAST_DATA_DIR]).toEqual(textsOf(image, 'VOLUME'))
    expect(node.volumeMounts).toEqual([{ name: 'data', mountPath: HOLDFAST_DATA_DIR }])
    expect(statefulSet.volumeClaimTemplates!.map(({ metadata }) => metadata!.name)).toEqual(['data'])
    for (const { securityContext } of Object.values(pods)) {
      expect(`${securityContext!.runAsUser}:${securityContext!.runAsGroup}`).toBe(textsOf(image, 'USER')[0])
    }
  })

  it('select each other', () => {
    const { labels } = statefulSet.template.metadata!
    const budget = (read('disruption-budget.yaml') as IPodDisruptionBudget).spec!
    const service = read('service.yaml') as IService
    for (const selector of [statefulSet.selector.matchLabels, budget.selector!.matchLabels, service.spec!.selector]) {
      expect(labels).toMatchObject(selector!)
      // The job of the same name is no node.
      expect(job.template.metadata!.labels).not.toMatchObject(selector!)
    }
    expect(statefulSet.serviceName).toBe(service.metadata!.name)
    expect(budget.maxUnavailable).toBe(1)
    const everyone = (read('network-policy.yaml') as INetworkPolicy).spec!.podSelector!.matchLabels!
    for (const template of [statefulSet.template, job.template]) {
      expect(template.metadata!.labels).toMatchObject(everyone)
    }
    const keys = pods.node.topologySpreadConstraints!.map(({ topologyKey }) => topologyKey)
    expect(keys).toEqual(['kubernetes.io/hostname', 'topology.kubernetes.io/zone'])
    for (const { labelSelector } of pods.node.topologySpreadConstraints!) {
      expect(labels).toMatchObject(labelSelector!.matchLabels!)
    }
    expect(kustomization.images.map(({ name }) => name)).toEqual([node.image])
    expect(provision.image).toBe(node.image)
    for (const [, { metadata }] of manifests) expect(metadata.namespace).toBeUndefined()
  })

  it('tell each node its id, its machine and its zone', () => {
    const paths = Object.fromEntries(node.env!.map(({ name, valueFrom }) => [name, valueFrom?.fieldRef?.fieldPath]))
    expect(paths).toMatchObject({
      HOLDFAST_NODE_ID: 'metadata.name',
      HOLDFAST_HOST: 'spec.nodeName',
      HOLDFAST_ZONE: "metadata.labels['topology.kubernetes.io/zone']",
    })
  })

  it.each(Object.entries(pods))('give the pods of %s no right that they do not need', (_, pod) => {
    expect(pod).toMatchObject({
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    })
    for (const { securityContext, resources } of pod.containers) {
      expect(securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      })
      expect(resources!.limits!['memory']).toBeDefined()
    }
  })

  it('log in by the roles of deploy/nats/accounts.conf, each with its own inboxes and a password from the secret', () => {
    const accounts = readFileSync(join(root, 'deploy/nats/accounts.conf'), 'utf8')
    const logins = [
      [node, 'node'],
      [provision, 'provisioner'],
    ] as const
    for (const [container, role] of logins) {
      expect(accounts).toContain(`user: ${role}, password: $${role.toUpperCase()}_PASSWORD`)
      expect(accounts).toContain(`"_INBOX_holdfast.${role}.>"`)
      expect(envOf(container)).toMatchObject({
        HOLDFAST_CLUSTER: 'holdfast',
        HOLDFAST_USER: role,
        HOLDFAST_INBOX_PREFIX: `_INBOX_holdfast.${role}`,
      })
      const { valueFrom } = container.env!.find(({ name }) => name === 'HOLDFAST_PASSWORD')!
      expect(valueFrom).toEqual({
        secretKeyRef: { name: 'holdfast-nats', key: `${role.toUpperCase()}_PASSWORD` },
      })
    }
  })
})

describe('deploy/kubernetes/nats-values.yaml', () => {
  const values = read('nats-values.yaml') as {
    config: {
      cluster: object
      jetstream: { merge: object }
      merge: Record<string, unknown>
    }
    container: { env: Record<string, { valueFrom: { secretKeyRef: { name: string; key: string } } }> }
  }

  it('sets what deploy/nats/server.conf sets, on three servers', () => {
    const conf = readFileSync(join(root, 'deploy/nats/server.conf'), 'utf8')
    expect(conf).toMatch(/^ {2}sync_interval: always$/m)
    expect(values.config.cluster).toEqual({ enabled: true, replicas: 3 })
    expect(values.config.jetstream.merge).toEqual({ sync_interval: 'always' })
    for (const name of ['write_deadline', 'ping_interval', 'ping_max']) {
      const [, set] = new RegExp(`^${name}: "?([^"\n]+)"?$`, 'm').exec(conf) ?? []
      expect(String(values.config.merge[name]), name).toBe(set)
    }
  })

  it('has a password for each role, from the secret that nodes take theirs from', () => {
    const accounts = readFileSync(join(root, 'deploy/nats/accounts.conf'), 'utf8')
    const asked = new Set(Array.from(accounts.matchAll(/password: \$(\w+)/g), ([, name]) => name!))
    expect(Object.keys(values.container.env).toSorted()).toEqual([...asked].toSorted())
    for (const [name, { valueFrom }] of Object.entries(values.container.env)) {
      expect(valueFrom.secretKeyRef).toEqual({ name: 'holdfast-nats', key: name })
    }
  })
})
