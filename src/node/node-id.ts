import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { realDisk } from '../adapters/embedded/objects.ts'
import type { Random } from '../ports/random.ts'
import { HoldfastError } from '../protocol/errors.ts'
import { isNodeId, type NodeId } from '../protocol/ids.ts'

/**
 * The node's id: the one that was given, or the one that was made up at the first start on this directory. A node that keeps its id over
 * restarts gets its partitions, whose data it has, back. When this resolves the id that was made up
 * is on the disk, and survives a power cut.
 */
export async function nodeIdFor(given: string | undefined, dataDir: string, random: Random): Promise<NodeId> {
  if (given !== undefined) {
    if (isNodeId(given)) return given
    throw new HoldfastError('INVALID', `nodeId: use 1 to 64 of A-Z, a-z, 0-9, "_" and "-", not "${given}"`)
  }
  const path = join(dataDir, 'node-id')
  const kept = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new HoldfastError('INVALID', `${path} cannot be read (${error.code}): check its permissions`, {
      cause: error,
    })
  })
  if (kept !== undefined) {
    const id = kept.trim()
    if (isNodeId(id)) return id
    throw new HoldfastError('INVALID', `${path} does not hold a node id: pass one as nodeId, or remove the file`)
  }
  const id = `node-${random.id().slice(0, 8)}` as NodeId
  try {
    await mkdir(dataDir, { recursive: true })
    // Renamed before it is synced, a power cut could leave an empty file of that name, with which no node starts.
    await realDisk.writeSynced(`${path}.new`, Buffer.from(`${id}\n`))
    await realDisk.rename(`${path}.new`, path)
    await realDisk.syncFolder(dataDir)
  } catch (cause) {
    throw new HoldfastError('INVALID', `${dataDir} cannot be written: check its permissions`, { cause })
  }
  return id
}
