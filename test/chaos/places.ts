/**
 * Where the nodes and servers of a world run, for faults that need more than a process on a disk.
 *
 * L1. What is made here outside of the folder of the world, mounts and network namespaces, is undone by `close`.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Launch } from '../e2e/support/node-handle.ts'
import type { TestServerOptions } from '../support/nats-server.ts'
import { command } from './command.ts'
import { libfaketime } from './libfaketime.ts'

export interface Place {
  readonly launch?: (name: string) => Launch
  readonly dataDir?: (name: string) => string
  readonly server?: (i: number) => TestServerOptions
  close?(): Promise<void>
}

/** Sizes as mount(8) takes them. */
export async function inMemory(
  folder: string,
  { nodes, server }: { readonly nodes?: string; readonly server?: string },
): Promise<Place> {
  const mounted: string[] = []
  const mounting = (name: string, size: string) => {
    const path = join(folder, name)
    if (mounted.includes(path)) return path
    mkdirSync(path)
    command('mount', '-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path)
    mounted.push(path)
    return path
  }
  return {
    ...(nodes === undefined ? {} : { dataDir: (name: string) => mounting(name, nodes) }),
    ...(server === undefined ? {} : { server: (i: number) => ({ storeDir: mounting(`server-${i}`, server) }) }),
    async close() {
      for (const path of mounted) command('umount', '--lazy', path)
    },
  }
}

/** Of a node the file that says how its clock is set off. */
export const clockFile = (dataDir: string): string => `${dataDir}.clock`

export async function withFakeClocks(folder: string): Promise<Place> {
  const library = libfaketime()!
  const dataDir = (name: string) => join(folder, name)
  return {
    dataDir,
    launch(name) {
      const file = clockFile(dataDir(name))
      writeFileSync(file, '+0')
      return {
        env: {
          LD_PRELOAD: library,
          FAKETIME_TIMESTAMP_FILE: file,
          // Looked at once a second: at each call it would be all that a node does.
          FAKETIME_CACHE_DURATION: '1',
          FAKETIME_DONT_FAKE_MONOTONIC: '1',
        },
      }
    },
  }
}

/** Of the node of that name, in this run of the campaign. */
export const namespaceOf = (name: string): string => `hf${process.pid}${name}`

const network = '10.231'
/** Of the machine's end of the first pair: the kernel answers for it on all of them. */
const serverAddress = `${network}.1.1`

/** A network namespace for each node, with a pair of interfaces between it and the machine. */
export async function inNamespaces(): Promise<Place> {
  const names: string[] = []
  const made = (name: string) => {
    const [space, subnet] = [namespaceOf(name), `${network}.${names.push(name)}`]
    const inside = (...args: readonly string[]) => command('ip', '-n', space, ...args)
    command('ip', 'netns', 'add', space)
    command('ip', 'link', 'add', `${space}h`, 'type', 'veth', 'peer', 'name', `${space}n`, 'netns', space)
    command('ip', 'address', 'add', `${subnet}.1/24`, 'dev', `${space}h`)
    command('ip', 'link', 'set', `${space}h`, 'up')
    inside('address', 'add', `${subnet}.2/24`, 'dev', `${space}n`)
    inside('link', 'set', `${space}n`, 'up')
    inside('link', 'set', 'lo', 'up')
    inside('route', 'add', 'default', 'via', `${subnet}.1`)
  }
  const close = async () => {
    for (const name of names) command('ip', 'netns', 'delete', namespaceOf(name))
  }
  try {
    for (const name of ['a', 'b', 'c']) made(name)
  } catch (error) {
    await close()
    throw error
  }
  return {
    launch: (name) => ({ through: ['ip', 'netns', 'exec', namespaceOf(name)] }),
    server: () => ({ host: serverAddress }),
    close,
  }
}
