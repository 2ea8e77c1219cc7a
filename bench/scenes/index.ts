/** All scenes, in the order in which they run: what others are compared with comes first. */
import type { Scene } from '../scene.ts'
import { baselines, unsyncedBaselines } from './baselines.ts'
import { commands, queries, threeNodes, threeServers } from './commands.ts'

export const scenes: readonly Scene[] = [baselines, unsyncedBaselines, commands, queries, threeNodes, threeServers]
