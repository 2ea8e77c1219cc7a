/** All scenes, in the order in which they run: what others are compared with comes first. */
import type { Scene } from '../scene.ts'
import { baselines, unsyncedBaselines } from './baselines.ts'
import { changes } from './changes.ts'
import { commands, queries, threeNodes, threeServers } from './commands.ts'
import { embedded } from './embedded.ts'
import { floor } from './floor.ts'
import { kv } from './kv.ts'
import { memory } from './memory.ts'
import { moves } from './moves.ts'
import { redis, restate } from './peers.ts'
import { replay } from './replay.ts'
import { snapshots } from './snapshots.ts'

export const scenes: readonly Scene[] = [
  baselines,
  unsyncedBaselines,
  floor,
  commands,
  threeNodes,
  threeServers,
  queries,
  kv,
  changes,
  embedded,
  replay,
  snapshots,
  moves,
  memory,
  restate,
  redis,
]
