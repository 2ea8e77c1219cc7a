/** `provision`: what a cluster needs on NATS, before its first node. */
import type { Command } from 'commander'
import { provision } from '../../node/provision-cluster.ts'
import { exitCodes } from '../exit-codes.ts'
import { parseCount } from '../parse.ts'
import { define, type Surroundings } from '../run.ts'
import { parseDuration } from '../settings.ts'

interface ProvisionCommandOptions {
  readonly partitions?: number
  readonly replicas?: number
  readonly lease?: number
}

export function addProvision(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('provision')
    .description("Creates a cluster's registry and logs on NATS, so that no node needs the right to.")
    .option('--partitions <n>', 'a power of two, for good (default 16)', parseCount)
    .option('--replicas <n>', 'copies that NATS keeps of each log: 1, 3 or 5 (default 1)', parseCount)
    .option('--lease <duration>', 'term of read leases, for good (default 500ms)', parseDuration)
  define(
    command,
    surroundings,
    {
      examples: ['holdfast provision --cluster shop --partitions 32 --replicas 3'],
      exits: [exitCodes.usage, exitCodes.again, exitCodes.internal],
      more: 'What is there already is compared and left as it is. It is optional: the first node of a cluster does it, too, if it may.',
    },
    async (run) => {
      const { nats, cluster } = run.settings()
      const done = await provision({ ...nats, cluster, ...command.opts<ProvisionCommandOptions>() })
      run.output.result(
        done,
        `the cluster ${done.cluster} has ${done.partitions} partitions; ${done.created} streams were created`,
      )
    },
  )
}
