/** What a node has to say that does not happen to a cluster that nobody disturbs. */
import type { HoldfastEvent } from '../src/index.ts'

const troubles: ReadonlySet<HoldfastEvent['type']> = new Set([
  'handler.threw',
  'node.fenced',
  'output.refused',
  'partition.fenced',
  'partition.hash-mismatch',
  'partition.stopped',
  'partition.trouble',
  'store.failed',
  'transport.disconnected',
])

export const isTrouble = ({ type }: HoldfastEvent): boolean => troubles.has(type)
