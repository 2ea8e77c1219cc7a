/** `verify`: whether snapshots, logs and stores are what they say. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { RocksDbStores } from '../../adapters/rocksdb/stores.ts'
import { audit, type Audit } from '../../partition/recovery/audit.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import { exitCodes } from '../exit-codes.ts'
import type { Output } from '../output.ts'
import { chosenPartitions, storedCluster } from '../partitions.ts'
import { define, remoteExits, type Surroundings } from '../run.ts'

export function addVerify(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('verify')
    .description('Reads snapshots and logs whole, and says whether they are what they must be.')
    .argument('[partition...]', 'their numbers (default: all)')
    .option('--data <dir>', 'the data directory of a node that does not run, or a copy of one: its stores, too')
  define(
    command,
    surroundings,
    {
      examples: [
        'holdfast verify',
        'holdfast verify 3 --data ./data/node-1',
        "holdfast verify --json | jq '.[] | select(.ok | not)'",
      ],
      exits: [exitCodes.failed, ...remoteExits, exitCodes.conflict],
      more: 'Of each snapshot that is kept: every checksum, every row, the hash of the state. Of the log: that every record from the oldest of them on is there and links to the one before. Of a store: that its rows are the state that it says, and that the log is its own. Any fault is exit code 1. It asks no node, and changes nothing of the cluster; it reads all of it over the network. With --data it holds the lock of the directory meanwhile, which is the folder node/ there and made where it is not, and RocksDB opens each store as for writing and may rearrange its files: no row is changed, nothing is set aside or discarded. If the files are to stay as they are give a copy of the directory.',
    },
    async (run) => {
      const { data } = command.opts<{ data?: string }>()
      const { settings, ports, compression } = await storedCluster(await run.session())
      const chosen = chosenPartitions(command.args, settings.partitions)
      const stores = data === undefined ? undefined : await storesOf(data, settings.partitions)
      const audits: Audit[] = []
      try {
        for (const partition of chosen) {
          const { clock } = await run.session()
          const there = data !== undefined && existsSync(join(data, `p${partition}`))
          const store = there ? await stores!.open(partition) : undefined
          try {
            const log = ports.changelog.log(partition)
            const done = await audit({ ...ports, partition, log, clock, compression, ...(store && { store }) })
            audits.push(done)
            for (const fault of faultsOf(done)) run.output.note(`partition ${partition}: ${fault}`)
          } finally {
            await store?.close()
          }
        }
      } finally {
        await stores?.close()
      }
      run.output.result(audits, () => tableOf(audits, data !== undefined, run.output))
      return audits.every(({ ok }) => ok) ? exitCodes.ok : exitCodes.failed
    },
  )
}

/** Where no directory is none is made. */
function storesOf(dataDir: string, maxStores: number): Promise<RocksDbStores> {
  if (!existsSync(dataDir)) throw new HoldfastError('NOT_FOUND', `there is no directory ${dataDir}`)
  return RocksDbStores.open({ dataDir, maxStores, keepDiscarded: true })
}

const faultsOf = ({ snapshots, log, store }: Audit): readonly string[] => [
  ...snapshots.flatMap(({ id, fault }) => (fault === null ? [] : [`snapshot ${id}: ${fault}`])),
  ...(log === null ? ['its log is gone'] : log.fault === null ? [] : [`its log is broken: ${log.fault}`]),
  ...(store === null || store.fault === null ? [] : [`its store cannot be gone on with: ${store.fault}`]),
]

function tableOf(audits: readonly Audit[], withStores: boolean, output: Output): string {
  const verdict = (fault: string | null) => (fault === null ? output.mark('ok') : output.mark('fail'))
  const rows = audits.map(({ partition, snapshots, log, store }) => [
    partition,
    snapshots.map(({ seq, fault }) => `${seq} ${verdict(fault)}`).join(', ') || '-',
    log === null ? output.mark('fail', 'gone') : `${log.first}-${log.last} ${verdict(log.fault)}`,
    log === null ? '-' : log.valid,
    log === null ? '-' : log.void,
    log === null ? '-' : log.epoch,
    ...(withStores ? [store === null ? '-' : `${store.seq} ${verdict(store.fault)}`] : []),
  ])
  return output.table(
    ['PARTITION', 'SNAPSHOTS', 'LOG', 'VALID', 'VOID', 'EPOCH', ...(withStores ? ['STORE'] : [])],
    rows,
  )
}
