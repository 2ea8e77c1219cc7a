/**
 * Creation of a log (C5, L1): a stream with its generation, and the genesis record as its first, at sequence 1 unless it is to begin later.
 *
 * Q1. The server creates a stream of one name once: whose settings differ, and a generation always does, is told that it is
 *     there. The genesis record expects an empty stream: of any number of provisioners one has it stored.
 * Q2. A provisioner that died between the two left an empty stream. Provisioning again with the same generation completes it.
 */
import type { Generation, Seq } from '../../protocol/ids.ts'
import type { AppendResult } from '../../protocol/log.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import type { Clock } from '../../ports/clock.ts'
import { apiErrors, failed, object, type ApiError, type JetStream, type Json, type StreamInfo } from './jetstream.ts'
import { checkStream, generationOf, logConfig } from './stream-settings.ts'

export interface Provisioning {
  readonly jetstream: JetStream
  readonly clock: Clock
  readonly stream: string
  readonly subject: string
  readonly replicas: number
  readonly generation: Generation
  readonly genesis: Uint8Array
  /** Sequence of the genesis record. */
  readonly first: Seq
  /** Appends the genesis record to an empty stream. */
  appendGenesis(): Promise<AppendResult>
}

/** A NATS cluster may take seconds to found the group of a new stream and to elect its leader. */
const patienceMs = 10_000
const betweenTriesMs = 100

/** True if the genesis record of this call is the log's. */
export async function provisionLog(job: Provisioning): Promise<boolean> {
  const config = logConfig(job.stream, job.subject, job.generation, job.replicas, job.first)
  if (await createStream(job.jetstream, config)) return storeGenesis(job)
  const info = await existing(job)
  checkStream(info.config, config, false)
  if (info.last >= job.first || generationOf(info.config) !== job.generation) return false
  return storeGenesis(job)
}

/** Creates a stream that all nodes share, where there is none. Throws `INVALID` if the one that is there would lose or limit what is put. */
export async function provisionStream(jetstream: JetStream, config: Json): Promise<{ readonly created: boolean }> {
  const info = await jetstream.streamInfo(String(config['name']))
  // Asked first: a node needs no permission to create what is there.
  if (info === null) {
    if (await createStream(jetstream, config)) return { created: true }
    return provisionStream(jetstream, config)
  }
  checkStream(info.config, config, false)
  return { created: false }
}

/** False: it is there with other settings. True: it was created, or is there with these. Throws `INVALID` where it cannot be had as asked. */
async function createStream(jetstream: JetStream, config: Json): Promise<boolean> {
  const question = `STREAM.CREATE.${String(config['name'])}`
  const reply = await jetstream.call(question, config, patienceMs)
  if (reply.body !== undefined) {
    checkStream(object(reply.body['config']), config, true)
    return true
  }
  if (reply.error.number === apiErrors.streamNameInUse) return false
  if (impossible.has(reply.error.number)) throw cannotCreate(config, reply.error)
  throw failed(question, reply.error)
}

const impossible: ReadonlySet<number> = new Set([
  apiErrors.invalidConfig,
  apiErrors.subjectsOverlap,
  apiErrors.replicasNotSupported,
  apiErrors.notEnabled,
  apiErrors.notEnabledForAccount,
])

function cannotCreate(config: Json, error: ApiError): HoldfastError {
  return new HoldfastError(
    'INVALID',
    `this NATS server cannot create the stream ${String(config['name'])}: ${error.description} (${error.number}); correct its configuration or the settings`,
  )
}

async function storeGenesis(job: Provisioning): Promise<boolean> {
  const { clock, jetstream, stream } = job
  const deadlineMs = clock.monotonic() + patienceMs
  let result = await job.appendGenesis()
  let perhapsStored = false
  while (result.kind !== 'accepted') {
    perhapsStored ||= result.kind === 'unknown'
    if ((await existing(job)).last >= job.first) {
      const first = perhapsStored ? await jetstream.message(stream, { seq: job.first }) : null
      return first !== null && Buffer.compare(first.data, job.genesis) === 0
    }
    if (clock.monotonic() > deadlineMs) {
      throw new HoldfastError('RETRY', `the stream ${stream} takes no record yet (${result.reason}): try again`)
    }
    await new Promise<void>((resolve) => clock.setTimeout(resolve, betweenTriesMs))
    result = await job.appendGenesis()
  }
  if (result.seq === job.first) return true
  throw new HoldfastError(
    'INTERNAL',
    `the genesis record of ${stream} has become sequence ${result.seq}: recover this partition`,
  )
}

async function existing({ jetstream, stream }: Provisioning): Promise<StreamInfo> {
  const info = await jetstream.streamInfo(stream)
  if (info !== null) return info
  throw new HoldfastError('RETRY', `the stream ${stream} was removed while it was provisioned: try again`)
}
