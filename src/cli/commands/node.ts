/**
 * `node`: one node of a cluster, as a process.
 *
 * N1. SIGTERM, SIGINT, or the end of the process that started it with a channel: it drains, closes and ends with 0. A second signal ends
 *     it at once.
 * N2. A node that another process has replaced ends with an error: two of one id would fence each other for ever. So does one that closes
 *     itself, with the error that made it do so.
 */
import type { Command } from 'commander'
import { SystemClock } from '../../adapters/system/clock.ts'
import type { ActorDefinition } from '../../behaviour/definition.ts'
import type { HoldfastNode } from '../../node/create-node.ts'
import type { CreateNodeOptions } from '../../node/options.ts'
import { settingsFromEnvironment } from '../../node/environment.ts'
import type { HoldfastEvent, Observer } from '../../ports/observer.ts'
import { HoldfastError, isHoldfastError } from '../../protocol/errors.ts'
import { loadActors, type Hosted } from '../actor-modules.ts'
import { eventLines, type Detail } from '../event-lines.ts'
import { exitCodes } from '../exit-codes.ts'
import { openNatsDoor, type NatsDoor } from '../nats-door.ts'
import { parseCount, parsePort, parseWhole } from '../parse.ts'
import { define, type Run, type Surroundings } from '../run.ts'
import { addressesOf, parseDuration } from '../settings.ts'
import { endSignal } from '../signals.ts'

interface NodeCommandOptions {
  readonly actors: readonly string[]
  readonly data?: string
  readonly nodeId?: string
  readonly host?: string
  readonly zone?: string
  readonly weight?: number
  readonly standbys?: number
  readonly partitions?: number
  readonly replicas?: number
  readonly retentionAge?: number
  readonly retentionBytes?: number
  readonly storeMemory?: number
  readonly embedded?: true
  readonly port: number
  readonly http?: string
  readonly quiet?: true
  readonly verbose?: true
}

/** What a node says when it is a member: the last line of its start, and to the process that supervises it. */
export interface ReadyMessage {
  readonly type: 'ready'
  readonly node: string
  readonly cluster: string
  /** Where a client reaches it. */
  readonly servers: string
  readonly actors: readonly ReadyActor[]
  /** Their names. */
  readonly tasks: readonly string[]
  /** Where its health and metrics are, if it was asked for. */
  readonly http?: string
}

export interface ReadyActor {
  readonly type: string
  readonly commands: readonly ReadyMethod[]
  readonly queries: readonly ReadyMethod[]
}

export interface ReadyMethod {
  readonly name: string
  /** Its handler has a parameter for it. */
  readonly takesInput: boolean
}

export function addNode(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('node')
    .description('Runs a node of a cluster that hosts your actors.')
    .requiredOption(
      '--actors <paths...>',
      'folders or files of your actors, .js or .ts: each exported actor() or task() is hosted',
    )
    .option('--data <folder>', "this node's own folder for its stores (default ./data, or HOLDFAST_DATA_DIR)")
    .option('--node-id <id>', 'unique in the cluster (default: made up once, kept in the folder)')
    .option('--host <name>', "name of the machine: what is on one fails together (default: the host's name)")
    .option('--zone <name>', 'name of the rack or building, likewise')
    .option('--weight <n>', 'share of the partitions relative to other nodes; 0 for none (default 1)', Number)
    .option('--standbys <n>', 'nodes that stand by for each partition; all nodes the same (default 1)', parseWhole)
    .option('--partitions <n>', 'of a new cluster: a power of two (default 16)', parseCount)
    .option('--replicas <n>', 'of a new cluster: copies that NATS keeps of each log, 1, 3 or 5 (default 1)', parseCount)
    .option(
      '--retention-age <duration>',
      'how long changes are kept for watchers that come back; all nodes the same (default 24h)',
      parseDuration,
    )
    .option(
      '--retention-bytes <n>',
      'and how many bytes of logs at most, of the whole cluster (default 1 GiB)',
      parseWhole,
    )
    .option('--store-memory <bytes>', 'for write buffers and block caches of RocksDB (default 256 MiB)', parseCount)
    .option('--embedded', 'without a NATS server: a whole cluster in this process, for one machine')
    .option('--port <n>', 'embedded: where NATS clients of this machine reach it; 0 for any', parsePort, 4222)
    .option(
      '--http <address>',
      'health and metrics: a port of this machine, or host:port (default: none, or HOLDFAST_HTTP)',
    )
    .option('--quiet', 'say only what went wrong')
    .option('--verbose', 'say everything')
  define(
    command,
    surroundings,
    {
      examples: [
        'holdfast node --actors ./actors --data ./data/node-1',
        'holdfast node --servers nats://127.0.0.1:4222 --cluster shop --actors ./dist/actors --data ./data/node-1',
        'holdfast node --embedded --actors ./actors --data ./data',
      ],
      exits: [exitCodes.usage, exitCodes.again, exitCodes.conflict, exitCodes.internal],
      more: 'Ctrl-C or SIGTERM: its partitions move to other nodes, then it ends; a second one ends it at once.',
    },
    (run) => runNode(run, command.opts<NodeCommandOptions>()),
  )
}

async function runNode(run: Run, options: NodeCommandOptions): Promise<void> {
  run.surroundings.goOnUnread()
  const end = endSignal(() => process.exit(exitCodes.failed))
  let fail: (error: unknown) => void = () => {}
  const failed = new Promise<never>((_, reject) => (fail = reject))
  // Its start rejects with the same.
  failed.catch(() => {})
  const asked = new Promise<void>((resolve) => {
    end.signal.addEventListener('abort', () => resolve(), { once: true })
    process.once('disconnect', () => resolve())
  })
  let door: NatsDoor | undefined
  let node: HoldfastNode | undefined
  try {
    const hosted = await loadActors(options.actors)
    // Other commands do without: it is most of the program's start.
    const { createNode } = await import('../../node/create-node.ts')
    const lines = eventLines(run.output, detailOf(options))
    const observer = tellingOfEnds(lines, fail, () => {
      if (node?.status().state === 'fenced') fail(replaced(node.id))
    })
    node = await createNode(nodeOptions(run, options, hosted, observer))
    const { embedded, id } = node
    if (embedded !== undefined) {
      door = await openNatsDoor(
        options.port,
        () => embedded.connect(lines).transport,
        (reason) => lines.emit({ type: 'door.trouble', door: 'nats', reason }),
      )
    }
    announce(run, node, hosted, door)
    await Promise.race([asked, failed])
    run.output.note(`node ${id}: leaving`)
    await node.drain().catch((error: unknown) => {
      // Nothing can be moved now; it ends all the same.
      if (!isHoldfastError(error, 'RETRY')) throw error
      run.output.note(error.message)
    })
  } finally {
    await door?.close()
    await node?.close()
    end.release()
    if (process.connected) process.disconnect()
  }
}

const detailOf = ({ quiet, verbose }: NodeCommandOptions): Detail =>
  verbose === true ? 'all' : quiet === true ? 'trouble' : 'notable'

const replaced = (id: string) =>
  new HoldfastError('CONFLICT', `another process runs as the node ${id}: give each node an id and a folder of its own`)

/** N2. That it is fenced is told before its state has changed: `look` is called after that. */
function tellingOfEnds(observer: Observer, fail: (error: unknown) => void, look: () => void): Observer {
  const clock = new SystemClock()
  return {
    emit(event: HoldfastEvent) {
      observer.emit(event)
      if (event.type === 'node.failed') fail(event.error)
      if (event.type === 'node.fenced') clock.defer(look)
    },
  }
}

function nodeOptions(
  run: Run,
  options: NodeCommandOptions,
  { actors, tasks }: Hosted,
  observer: Observer,
): CreateNodeOptions {
  const { data, nodeId, host, zone, weight, standbys, partitions, replicas, storeMemory, embedded, http } = options
  const retention = {
    ...(options.retentionAge === undefined ? {} : { age: options.retentionAge }),
    ...(options.retentionBytes === undefined ? {} : { bytes: options.retentionBytes }),
  }
  const { dataDir = './data' } = settingsFromEnvironment(run.surroundings.env)
  const settings = run.settings()
  const base = {
    actors,
    tasks,
    observer,
    dataDir: data ?? dataDir,
    cluster: settings.cluster,
    ...(nodeId === undefined ? {} : { nodeId }),
    ...(host === undefined ? {} : { host }),
    ...(zone === undefined ? {} : { zone }),
    ...(weight === undefined ? {} : { weight }),
    ...(standbys === undefined ? {} : { standbys }),
    ...(partitions === undefined ? {} : { partitions }),
    ...(storeMemory === undefined ? {} : { storeMemory }),
    ...(Object.keys(retention).length === 0 ? {} : { retention }),
    ...(http === undefined ? {} : { http }),
  }
  if (embedded === true) return { ...base, embedded: true }
  return { ...base, name: 'holdfast-node', ...settings.nats, ...(replicas === undefined ? {} : { replicas }) }
}

function announce(
  run: Run,
  { id: node, http }: HoldfastNode,
  { actors, tasks }: Hosted,
  door: NatsDoor | undefined,
): void {
  const { nats, cluster } = run.settings()
  const servers = door === undefined ? addressesOf(nats.servers) : `nats://127.0.0.1:${door.port}`
  const ready: ReadyMessage = {
    type: 'ready',
    node,
    cluster,
    servers,
    actors: actors.map(readyActor),
    tasks: tasks.map(({ name }) => name),
    ...(http === undefined ? {} : { http }),
  }
  // That whoever started it is gone is heard by `disconnect`.
  if (process.send !== undefined) process.send(ready, () => {})
  else run.output.result(ready, `node ${node} of the cluster ${cluster} at ${servers} hosts ${typesOf(ready)}`)
  if (http !== undefined) run.output.note(`health and metrics at ${http}`)
}

/** What it hosts, in words. */
export const typesOf = ({ actors, tasks }: ReadyMessage): string =>
  [...actors.map(({ type }) => type), ...tasks.map((name) => `the task ${name}`)].join(', ')

const readyActor = ({ type, commands, queries }: ActorDefinition): ReadyActor => ({
  type,
  commands: methodsOf(commands),
  queries: methodsOf(queries),
})

// The first parameter is the context, or the state.
const methodsOf = (handlers: Readonly<Record<string, (...given: never[]) => unknown>>): readonly ReadyMethod[] =>
  Object.entries(handlers).map(([name, handler]) => ({ name, takesInput: handler.length > 1 }))
