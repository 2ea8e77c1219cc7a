/**
 * How the streams of Holdfast are set up (L7), and the comparison with what the server says that they are: a server ignores in
 * silence what it does not know, and an operator may have changed a stream since.
 */
import type { Generation, PartitionId } from '../../protocol/ids.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import { object, type Json } from './jetstream.ts'

export const logStream = (cluster: string, partition: PartitionId) => `${cluster}_P${partition}`
export const registryBucket = (cluster: string) => `${cluster}_registry`
export const registryStream = (cluster: string) => `KV_${registryBucket(cluster)}`
export const objectBucket = (cluster: string) => `${cluster}_snapshots`
export const objectStream = (cluster: string) => `OBJ_${objectBucket(cluster)}`

const generationKey = 'holdfast.generation'

/** File, limits, `discard: new`, no deletion, no direct get; no limit of age, size or count. */
const durable = {
  retention: 'limits',
  storage: 'file',
  discard: 'new',
  deny_delete: true,
  deny_purge: false,
  allow_direct: false,
  sealed: false,
  no_ack: false,
  max_age: 0,
  max_bytes: -1,
  max_msgs: -1,
  max_msg_size: -1,
} as const

/** `first`: the sequence that it begins with. */
export function logConfig(stream: string, subject: string, generation: Generation, replicas: number, first = 1): Json {
  return {
    ...durable,
    name: stream,
    subjects: [subject],
    description: 'Changelog of a Holdfast partition. Only its owner may publish here.',
    max_msgs_per_subject: -1,
    allow_rollup_hdrs: false,
    num_replicas: replicas,
    metadata: { [generationKey]: generation },
    ...(first === 1 ? {} : { first_seq: first }),
  }
}

/** As any NATS client knows a key-value bucket, so that `nats kv` can read it. */
export function registryConfig(bucket: string, replicas: number): Json {
  return {
    ...durable,
    name: `KV_${bucket}`,
    subjects: [`$KV.${bucket}.>`],
    description: 'Registry of a Holdfast cluster.',
    max_msgs_per_subject: 1,
    allow_rollup_hdrs: true,
    num_replicas: replicas,
  }
}

/** As any NATS client knows an object store, so that `nats object` can read it. */
export function objectsConfig(bucket: string, replicas: number): Json {
  return {
    ...durable,
    name: `OBJ_${bucket}`,
    subjects: [`$O.${bucket}.C.>`, `$O.${bucket}.M.>`],
    description: 'Snapshots of the partitions of a Holdfast cluster.',
    max_msgs_per_subject: -1,
    allow_rollup_hdrs: true,
    num_replicas: replicas,
  }
}

/** Where a server may say nothing, and what it means then. */
const defaults: Json = {
  deny_delete: false,
  deny_purge: false,
  allow_direct: false,
  sealed: false,
  no_ack: false,
  max_age: 0,
}

/** What would break the promises of a log, a registry or an object store, wherever it comes from. */
const forbidden = ['mirror', 'sources', 'subject_transform', 'allow_msg_ttl', 'allow_msg_counter']

/** Throws `INVALID` naming the setting. `replicas` are compared only where the stream was just created: operators may scale it later. */
export function checkStream(echo: Json, asked: Json, created: boolean): void {
  const stream = String(asked['name'])
  const compared = ['subjects', 'max_msgs_per_subject', ...Object.keys(durable), ...(created ? ['num_replicas'] : [])]
  for (const setting of compared) {
    const said = echo[setting] ?? defaults[setting]
    if (JSON.stringify(said) !== JSON.stringify(asked[setting])) throw wrong(stream, setting, said, asked[setting])
  }
  // Later it is of no meaning: the sequences tell.
  if (created && (echo['first_seq'] ?? 0) !== (asked['first_seq'] ?? 0)) {
    throw wrong(stream, 'first_seq', echo['first_seq'] ?? 0, asked['first_seq'])
  }
  for (const setting of forbidden) {
    const said = echo[setting]
    const absent = said === undefined || said === null || said === false || said === 0
    if (!absent && !(Array.isArray(said) && said.length === 0)) throw wrong(stream, setting, said, undefined)
  }
  // An acknowledgement before the record is written is none.
  const mode = echo['persist_mode'] ?? 'default'
  if (mode !== 'default' && mode !== '') throw wrong(stream, 'persist_mode', mode, 'default')
}

/** Empty where the stream is not a changelog of Holdfast: no generation is. */
export function generationOf(config: Json): Generation {
  const said = object(config['metadata'] ?? {})[generationKey]
  return (typeof said === 'string' ? said : '') as Generation
}

function wrong(stream: string, setting: string, said: unknown, asked: unknown): HoldfastError {
  const should = asked === undefined ? 'must not be set' : `must be ${JSON.stringify(asked)}`
  return new HoldfastError(
    'INVALID',
    `the stream ${stream} has ${setting} ${JSON.stringify(said)} on this NATS server, and it ${should}: correct it with \`nats stream edit\`, or upgrade the server`,
  )
}
