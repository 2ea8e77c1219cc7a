import { existsSync } from 'node:fs'
import { join, normalize } from 'node:path'
import { describe, expect, it } from 'vitest'
import { root } from '../docs/markdown.ts'
import { composeFile, natsServices, nodeServices } from './compose-file.ts'
import { accepted, ignored } from './said.ts'

const { services, volumes } = composeFile()
const all = Object.entries(services)
const ours = all.filter(([, { image }]) => image.startsWith('holdfast:'))

describe('deploy/compose.yaml', () => {
  it('has three servers, three nodes and what sets up the cluster', () => {
    expect(Object.keys(services).toSorted()).toEqual([...natsServices, ...nodeServices, 'provision'].toSorted())
  })

  it('gives the program command lines that it takes and variables that it knows', async () => {
    const commands = await Promise.all(ours.map(async ([, { command }]) => (await accepted(command)).command))
    expect(commands.toSorted()).toEqual(['node', 'node', 'node', 'provision'])
    for (const [name, { environment }] of ours) expect(ignored(environment), name).toEqual([])
  })

  it('has everybody say the same of a new cluster, whoever is first to create it: three copies', () => {
    const said = ours.map(([, { environment }]) => {
      const { HOLDFAST_SERVERS, HOLDFAST_CLUSTER, HOLDFAST_PARTITIONS, HOLDFAST_REPLICAS } = environment
      return { HOLDFAST_SERVERS, HOLDFAST_CLUSTER, HOLDFAST_PARTITIONS, HOLDFAST_REPLICAS }
    })
    const servers = natsServices.map((name) => `nats://${name}:4222`).join(',')
    expect(new Set(said.map((each) => JSON.stringify(each)))).toHaveLength(1)
    expect(said[0]).toMatchObject({ HOLDFAST_SERVERS: servers, HOLDFAST_REPLICAS: '3' })
  })

  it('gives each node an id, a host and a volume of its own, and each server a name and a volume', () => {
    for (const name of nodeServices) {
      const { environment, volumes: mounts } = services[name]!
      expect(environment).toMatchObject({ HOLDFAST_NODE_ID: name, HOLDFAST_HOST: name })
      expect(mounts).toContain(`${name}:/data`)
    }
    for (const name of natsServices) {
      const { environment, volumes: mounts } = services[name]!
      expect(environment).toEqual({ NATS_NAME: name, NATS_STORE_DIR: '/data' })
      expect(mounts).toContain(`${name}:/data`)
    }
    expect(Object.keys(volumes).toSorted()).toEqual([...natsServices, ...nodeServices].toSorted())
  })

  it('mounts folders that are there', () => {
    const mounted = all
      .flatMap(([, { volumes: mounts = [] }]) => mounts)
      .map((mount) => mount.replace(/\$\{\w+:-([^}]*)\}/, '$1').split(':')[0]!)
      .filter((source) => source.startsWith('.'))
    expect(mounted.length).toBeGreaterThan(5)
    for (const source of mounted) expect(existsSync(join(root, 'deploy', source)), source).toBe(true)
    const built = ours.flatMap(([, { build }]) => (build === undefined ? [] : [build]))
    // One makes the image, for all.
    expect(built).toHaveLength(1)
    for (const { context, dockerfile } of built) {
      expect(existsSync(join(root, normalize(join('deploy', context)), dockerfile))).toBe(true)
    }
  })

  it('publishes to loopback only, each port once', () => {
    const published = all.flatMap(([, { ports = [] }]) => ports)
    expect(published).toHaveLength(6)
    for (const port of published) expect(port).toMatch(/^127\.0\.0\.1:\d+:(4222|9464)$/)
    expect(new Set(published.map((port) => port.split(':')[1]))).toHaveLength(published.length)
  })

  it('takes every right away that is not needed', () => {
    for (const [name, { read_only, cap_drop, security_opt }] of all) {
      expect({ read_only, cap_drop, security_opt }, name).toEqual({
        read_only: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
      })
    }
  })

  it('starts nodes when the cluster is set up, and that when the servers are well', () => {
    for (const name of nodeServices) {
      expect(services[name]!.depends_on).toEqual({ provision: { condition: 'service_completed_successfully' } })
    }
    expect(services['provision']!.depends_on).toEqual(
      Object.fromEntries(natsServices.map((name) => [name, { condition: 'service_healthy' }])),
    )
  })
})
