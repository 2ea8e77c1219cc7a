/** A cluster of one node in this process, on a directory that is removed at the end: what the small examples run on. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, createNode, type CreateNodeOptions, type Holdfast } from '../../src/index.ts'

export async function withCluster(
  actors: CreateNodeOptions['actors'],
  run: (hf: Holdfast) => Promise<void>,
): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'holdfast-example-'))
  const node = await createNode({ embedded: true, dataDir, actors })
  const hf = await connect({ embedded: node.embedded! })
  try {
    await run(hf)
  } finally {
    await hf.close()
    await node.close()
    await rm(dataDir, { recursive: true })
  }
}
