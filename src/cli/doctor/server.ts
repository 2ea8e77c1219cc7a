/**
 * Checks of the NATS server and of the streams of a cluster on it.
 *
 * DS1. A stream is gone only where JetStream says so, by the number of that error. Whatever else keeps it from being seen (no answer, no
 *      leader, servers that are not ready) is told as that: who believes that a log is lost begins it anew.
 */
import { apiErrors, errorOf } from '../../adapters/nats/jetstream.ts'
import {
  generationOf,
  checkStream,
  logConfig,
  logStream,
  objectBucket,
  objectsConfig,
  objectStream,
  registryBucket,
  registryConfig,
  registryStream,
} from '../../adapters/nats/stream-settings.ts'
import { messageOf } from '../../protocol/errors.ts'
import { partitionId } from '../../protocol/ids.ts'
import type { Subjects } from '../../protocol/subjects.ts'
import { doorName } from '../nats-door.ts'
import { fail, ok, skip, some, warn, type Finding } from './finding.ts'
import type { Json, ServerLink } from './server-link.ts'

/** Recommended: older ones are served, with fewer of their faults mended. */
const recommended = [2, 12, 3] as const
const usualPayload = 1024 * 1024

/** Behind the door of an embedded cluster there is no server, and its logs are files of that process. */
export const isEmbedded = ({ info }: ServerLink): boolean => info?.server_id === doorName

export async function checkServer(link: ServerLink): Promise<readonly Finding[]> {
  if (isEmbedded(link)) {
    return [
      ok('server', `${link.address} is the door of an embedded cluster`),
      skip('jetstream', 'it has none, and needs none: its logs and registry are files of that process'),
    ]
  }
  return [...checkInfo(link), ...(await checkJetStream(link))]
}

function checkInfo({ info, address }: ServerLink): readonly Finding[] {
  const version = info?.version ?? 'unknown'
  const says = `${address} is version ${version}`
  const parts = version.split('.').map((part) => Number.parseInt(part, 10))
  const first = recommended.findIndex((part, i) => part !== parts[i])
  const older = first >= 0 && (parts[first] ?? 0) < recommended[first]!
  const payload = info?.max_payload ?? 0
  const most = `one message holds ${payload} bytes at most (max_payload): a state about half of that`
  return [
    older ? warn('server', says, `${recommended.join('.')} or newer is recommended`) : ok('server', says),
    payload < usualPayload
      ? warn('payload', most, 'raise max_payload of the server to 1MB or more')
      : ok('payload', most),
  ]
}

async function checkJetStream(link: ServerLink): Promise<readonly Finding[]> {
  const reply = await link.ask('$JS.API.INFO')
  if (reply.kind === 'denied') return [skip('jetstream', 'this login may not ask for it; a node has to')]
  const error = reply.kind === 'answer' ? (reply.body['error'] as Json | undefined) : undefined
  if (reply.kind !== 'answer' || error !== undefined) {
    const reason = reply.kind === 'silence' ? reply.reason : descriptionOf(error)
    return [
      fail(
        'jetstream',
        `it is not there: ${reason}`,
        'start the server with `jetstream {}` in its configuration, and enable it for this account',
      ),
    ]
  }
  const { storage, limits } = reply.body as { storage?: number; limits?: { max_storage?: number } }
  const most = limits?.max_storage ?? -1
  const used = `${storage ?? 0} bytes used of ${most < 0 ? 'what the disk has' : most}`
  const full = most > 0 && (storage ?? 0) > most * 0.9
  return [
    full
      ? warn('jetstream', used, "raise the account's limit: where it is reached nothing commits any more")
      : ok('jetstream', used),
    skip(
      'fsync',
      'a client cannot see it: be sure that `sync_interval: always` stands in the configuration of each server, else a power cut may lose what was acknowledged',
    ),
  ]
}

const descriptionOf = (error: Json | undefined): string => {
  const said = error?.['description']
  return typeof said === 'string' ? said : 'nobody answers for it'
}

/** The registry's stream, each partition's, and that of the snapshots, against what is required of them (L7). */
export async function checkStreams(
  link: Pick<ServerLink, 'ask' | 'info'>,
  subjects: Subjects,
  partitions: number,
): Promise<readonly Finding[]> {
  const { cluster } = subjects
  const registry = await lookAt(link, registryStream(cluster))
  if (registry.kind === 'denied') return [skip('streams', 'this login may not look at them; one of the operator may')]
  if (registry.kind === 'unseen') return [unseen('registry', registryStream(cluster), registry.reason)]
  if (registry.kind === 'gone') {
    return [
      fail('registry', `there is no cluster "${cluster}" on this server`, 'correct --cluster, or start its first node'),
    ]
  }
  const findings = [registryFinding(registry.config, registryConfig(registryBucket(cluster), 1), cluster)]
  const wrong: Finding[] = []
  const replicas = new Set([registry.replicas])
  for (let n = 0; n < partitions; n++) {
    const id = partitionId(n)
    const name = logStream(cluster, id)
    const stream = await lookAt(link, name)
    if (stream.kind !== 'there') {
      wrong.push(missingLog(n, name, stream))
      continue
    }
    replicas.add(stream.replicas)
    const trouble = troubleOf(stream.config, logConfig(name, subjects.log(id), generationOf(stream.config), 1))
    if (trouble !== undefined) wrong.push(fail('log', trouble, 'until then the partition stops at its next look'))
    if (stream.late.length > 0) {
      wrong.push(lagging('log', name, stream.late))
    }
  }
  if (wrong.length === 0)
    findings.push(ok('logs', `the streams of all ${partitions} partitions are set up as they have to be`))
  const snapshots = await lookAt(link, objectStream(cluster))
  if (snapshots.kind === 'there') replicas.add(snapshots.replicas)
  return [
    ...findings,
    ...wrong,
    ...snapshotFindings(objectStream(cluster), objectsConfig(objectBucket(cluster), 1), snapshots),
    replicasFinding(
      [...replicas].toSorted((a, b) => a - b),
      link,
    ),
  ]
}

function missingLog(partition: number, stream: string, look: Exclude<Look, { kind: 'there' }>): Finding {
  switch (look.kind) {
    case 'gone':
      return fail(
        'log',
        `the log of partition ${partition} is gone (stream ${stream})`,
        'an operator has to decide: the data may be in the stores of its former owners',
      )
    case 'denied':
      return skip('log', `this login may not look at that of partition ${partition} (stream ${stream})`)
    case 'unseen':
      return unseen('log', stream, look.reason)
  }
}

/** Logs are trimmed behind snapshots: what is lost of these is lost of the state. */
function snapshotFindings(stream: string, asked: Json, look: Look): readonly Finding[] {
  switch (look.kind) {
    case 'gone':
      return [
        fail(
          'snapshots',
          `the stream ${stream} is gone: a store that is empty can be made of a log that was never trimmed, and of no other`,
          'create it again by `holdfast provision`, then run `holdfast snapshot --all` while the nodes have their stores',
        ),
      ]
    case 'denied':
      return [skip('snapshots', `this login may not look at the stream ${stream}`)]
    case 'unseen':
      return [unseen('snapshots', stream, look.reason)]
    case 'there': {
      const trouble = troubleOf(look.config, asked)
      if (trouble !== undefined) return [fail('snapshots', trouble, 'nodes that start refuse it')]
      if (look.late.length === 0) return [ok('snapshots', 'their stream is set up as it has to be')]
      return [lagging('snapshots', stream, look.late)]
    }
  }
}

const lagging = (check: string, stream: string, late: readonly string[]): Finding =>
  warn(check, `replicas of ${stream} lag or are away: ${some(late)}`, 'look at these servers')

const unseen = (check: string, stream: string, reason: string): Finding =>
  warn(
    check,
    `the stream ${stream} cannot be looked at now: ${reason}`,
    'look again in a few seconds; if it stays so, look at the NATS servers that hold it: this does not say that it is lost',
  )

function registryFinding(config: Json, asked: Json, cluster: string): Finding {
  const trouble = troubleOf(config, asked)
  if (trouble === undefined) return ok('registry', `the cluster "${cluster}" has one`)
  return fail('registry', trouble, 'nodes that start refuse it')
}

function replicasFinding(replicas: readonly number[], { info }: Pick<ServerLink, 'info'>): Finding {
  const least = replicas[0] ?? 1
  if (least > 1) return ok('replicas', `each stream has ${least} copies or more`)
  const clustered = info?.cluster !== undefined
  const says = 'each stream, or some, has one copy'
  const advice = clustered
    ? 'scale the streams with `nats stream edit --replicas 3`'
    : 'for production run three servers and create the cluster with --replicas 3'
  return warn('replicas', says, advice)
}

function troubleOf(config: Json, asked: Json): string | undefined {
  try {
    checkStream(config, asked, false)
    return undefined
  } catch (error) {
    return messageOf(error)
  }
}

type Look =
  | {
      readonly kind: 'there'
      readonly config: Json
      readonly replicas: number
      /** Names of servers whose replica is not current. */
      readonly late: readonly string[]
    }
  | { readonly kind: 'gone' }
  | { readonly kind: 'denied' }
  | { readonly kind: 'unseen'; readonly reason: string }

/** DS1 */
async function lookAt(link: Pick<ServerLink, 'ask'>, name: string): Promise<Look> {
  const reply = await link.ask(`$JS.API.STREAM.INFO.${name}`)
  if (reply.kind === 'denied') return reply
  if (reply.kind === 'nobody') return { kind: 'unseen', reason: 'nobody answers for JetStream' }
  if (reply.kind === 'silence') return { kind: 'unseen', reason: reply.reason }
  const error = errorOf(reply.body)
  if (error?.number === apiErrors.streamNotFound) return { kind: 'gone' }
  if (error !== undefined) return { kind: 'unseen', reason: `${error.description} (${error.number})` }
  const config = reply.body['config'] as Json
  const { replicas = [] } = (reply.body['cluster'] ?? {}) as {
    replicas?: readonly { name: string; current?: boolean }[]
  }
  return {
    kind: 'there',
    config,
    replicas: Number(config['num_replicas'] ?? 1),
    late: replicas.filter(({ current }) => current !== true).map((each) => each.name),
  }
}
