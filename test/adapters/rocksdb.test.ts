import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RocksDbStores } from '../../src/adapters/rocksdb/stores.ts'
import { storeConformance } from '../conformance/store.ts'

storeConformance('the RocksDB stores', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'holdfast-rocksdb-'))
  return {
    open: () => RocksDbStores.open({ dataDir }),
    close: () => rm(dataDir, { recursive: true, force: true }),
  }
})
