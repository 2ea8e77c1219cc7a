/** Which NATS servers keep what Holdfast relies on. Their client does not check it, and older ones ignore in silence what they do not know. */
import { HoldfastError } from '../../protocol/errors.ts'

/** Older ones lose acknowledged appends in known ways. */
const oldestServer = [2, 10, 27] as const

/** Throws `INVALID` if the version that a server announces is too old. */
export function checkVersion(version: string | undefined, server: string): void {
  const match = /^v?(\d+)\.(\d+)\.(\d+)/.exec(version ?? '')
  if (match !== null && !isOlder(match.slice(1, 4).map(Number))) return
  throw new HoldfastError(
    'INVALID',
    `the NATS server at ${server} is version ${version ?? 'unknown'}, and Holdfast needs ${oldestServer.join('.')} or newer: upgrade it`,
  )
}

function isOlder(version: readonly number[]): boolean {
  for (const [i, oldest] of oldestServer.entries()) {
    const part = version[i] ?? 0
    if (part !== oldest) return part < oldest
  }
  return false
}
