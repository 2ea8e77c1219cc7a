/**
 * A server of a door, from when it listens.
 *
 * LI1. What keeps it from listening rejects. Nothing that fails after ends it, or the process: where there is no file descriptor left for
 *      a connection, for example, that one is not taken, and the server waits for the next.
 * LI2. Of such trouble the first is told, then nothing until a connection was taken again: it may come at every turn of the event loop.
 */
import type { Server } from 'node:net'
import { messageOf } from '../protocol/errors.ts'

/** Rejects with the system's error. */
export async function listen(
  server: Server,
  { host, port }: { readonly host: string; readonly port: number },
  onTrouble: (reason: string) => void,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  let told = false
  server.on('connection', () => (told = false))
  server.on('error', (error) => {
    if (told) return
    told = true
    onTrouble(messageOf(error))
  })
}

/** The port that it has. */
export function portOf(server: Server): number {
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}
