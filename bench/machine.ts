/** What a run is measured on, in words. */
import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { statfs } from 'node:fs/promises'

/** Of Linux, in statfs(2). */
const tmpfsMagic = 0x01_02_19_94

export async function describeMachine(serverVersion: string, dataFolder: string): Promise<string> {
  const inMemory = process.platform === 'linux' && (await statfs(dataFolder)).type === tmpfsMagic
  const lines = [
    `${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    `${process.platform} ${release()}, Node.js ${process.version.slice(1)}, nats-server ${serverVersion}`,
    new Date().toISOString().slice(0, 10),
    ...(inMemory
      ? [`${dataFolder} is in memory, where writing through costs nothing: give --data a folder on a disk`]
      : []),
  ]
  return lines.join('\n')
}
