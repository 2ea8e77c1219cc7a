/**
 * Setting up a cluster on NATS before its first node: then no node needs the right to create streams.
 *
 * P1. It may be done any number of times, also at once and while nodes run: what is there is compared, and left as it is.
 */
import { openNats } from '../adapters/nats/open.ts'
import type { NatsSettings } from '../adapters/nats/settings.ts'
import { SystemClock } from '../adapters/system/clock.ts'
import { SystemRandom } from '../adapters/system/random.ts'
import { provision as provisionParts } from '../partition/provision.ts'
import { guarded, silent, type Observer } from '../ports/observer.ts'
import type { Duration } from '../protocol/duration.ts'
import { HoldfastError } from '../protocol/errors.ts'
import { defaultCluster } from '../protocol/ids.ts'
import { optionsOf } from '../protocol/options.ts'
import { withEnvironment } from './environment.ts'
import { checkClusterOptions, clusterSettingsOf } from './options.ts'
import { patiently } from './patiently.ts'

export interface ProvisionOptions extends Omit<NatsSettings, 'servers'> {
  /** As for `createNode`. Or `HOLDFAST_SERVERS`. */
  readonly servers?: NatsSettings['servers']
  /** `[a-z0-9-]{1,32}`. Default `holdfast`. */
  readonly cluster?: string
  /** A power of two from 1 to 512, for good. Default: what the cluster has, 16 for a new one. */
  readonly partitions?: number
  /** Term of read leases, for good. Default: what the cluster has, `'500ms'` for a new one. */
  readonly lease?: Duration
  /** Copies that the NATS cluster keeps of each log, from its creation on: 1, 3 or 5. Default 1. */
  readonly replicas?: number
  /** Hears of each log that is created (`log.provisioned`). Default: nothing is said. */
  readonly observer?: Observer
}

export interface Provisioned {
  readonly cluster: string
  readonly partitions: number
  /** Streams that were created now: 0 where everything was there. */
  readonly created: number
}

/**
 * Creates the registry, the logs and the store for snapshots of a cluster where they are missing. Rejects with `INVALID` for options that cannot be, that differ
 * from what the cluster has, and for missing permissions; with `RETRY` where no NATS server answers, or its JetStream does not for half a minute.
 */
export async function provision(given: ProvisionOptions = {}): Promise<Provisioned> {
  const observer = guarded(optionsOf(given, 'provision()').observer ?? silent)
  const options = withEnvironment(given, process.env, observer)
  const { cluster = defaultCluster, servers } = options
  checkClusterOptions(options)
  if (servers === undefined) {
    throw new HoldfastError('INVALID', 'give `servers`, or set the variable HOLDFAST_SERVERS')
  }
  const parts = { clock: new SystemClock(), random: new SystemRandom(), observer }
  const nats = await openNats({ ...options, servers, cluster }, parts)
  try {
    const buckets = [
      await patiently(parts.clock, () => nats.provisionRegistry()),
      await patiently(parts.clock, () => nats.provisionObjects()),
    ]
    let created = buckets.filter((bucket) => bucket.created).length
    const counting: Observer = {
      emit(event) {
        if (event.type === 'log.provisioned') created++
        observer.emit(event)
      },
    }
    const ports = { ...nats, ...parts, observer: counting }
    const { settings } = await patiently(parts.clock, () => provisionParts(clusterSettingsOf(options), ports))
    return { cluster, partitions: settings.partitions, created }
  } finally {
    await nats.close()
  }
}
