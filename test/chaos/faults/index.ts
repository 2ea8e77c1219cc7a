/** All of them, in the order of the page. */
import type { Fault } from '../fault.ts'
import { jumpClock } from './clocks.ts'
import { damageStore, fillNodeDisk, fillServerDisk } from './disks.ts'
import { kill, killLeader, killLightly } from './kills.ts'
import { moveInterrupted } from './moves.ts'
import { cuts } from './networks.ts'
import { pauses } from './pauses.ts'
import { killAllServers, killServer, killStreamLeader, pauseOneServer, pauseServer } from './servers.ts'
import { states } from './states.ts'

export const faults: readonly Fault[] = [
  kill,
  killLeader,
  killLightly,
  ...pauses,
  moveInterrupted,
  killServer,
  pauseServer,
  pauseOneServer,
  killAllServers,
  killStreamLeader,
  ...cuts,
  damageStore,
  fillNodeDisk,
  fillServerDisk,
  jumpClock,
  ...states,
]
