/** A CPU profile of this process, while something runs. */
import { mkdir, writeFile } from 'node:fs/promises'
import { Session } from 'node:inspector/promises'
import { join } from 'node:path'

/** Without a folder it just runs. */
export async function profiled(folder: string | undefined, run: () => Promise<void>): Promise<void> {
  if (folder === undefined) {
    await run()
    return
  }
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.start')
  try {
    await run()
  } finally {
    const { profile } = await session.post('Profiler.stop')
    session.disconnect()
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, 'client.cpuprofile'), JSON.stringify(profile))
  }
}
