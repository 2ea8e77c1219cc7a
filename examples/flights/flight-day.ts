/** The run itself: the load, with a node crashed at one third of it and a new one started at two thirds. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { DemoCluster } from './cluster.ts'
import type { Flight } from './flights.ts'
import { flyAll } from './load.ts'
import { Meter, type Episode } from './meter.ts'
import { Progress, whole } from './progress.ts'
import type { Teardown } from './teardown.ts'

export interface FlightDay {
  readonly flights: number
  readonly meter: Meter
  readonly crash: Episode
  readonly join: Episode
}

const crashing = 'node-2'
const joining = 'node-4'
/** How long the new node may take until it owns something. */
const movedWithinMs = 30_000

/** Resolves when every command is acknowledged and the new node has taken its share. */
export async function flightDay(
  cluster: DemoCluster,
  flights: readonly Flight[],
  rate: number,
  teardown: Teardown,
): Promise<FlightDay> {
  const meter = new Meter(() => performance.now())
  const progress = new Progress(cluster, meter)
  teardown.add(async () => progress.stop())
  const milestones = new Milestones()

  const crashAtOneThird = async () => {
    await milestones.reached(Math.floor(flights.length / 3))
    progress.tell(`  one third is flown: ${crashing} crashes`)
    const felt = meter.episode()
    await cluster.crash(crashing)
    return felt
  }
  const joinAtTwoThirds = async () => {
    await milestones.reached(Math.floor((flights.length * 2) / 3))
    progress.tell(`  two thirds are flown: ${joining} joins`)
    const felt = meter.episode()
    await cluster.start(joining)
    return felt
  }
  const onFlight = (flown: number) => {
    progress.flown(flown)
    milestones.pass(flown)
  }

  progress.start()
  const [crash, join] = await Promise.all([
    crashAtOneThird(),
    joinAtTwoThirds(),
    flyAll({ client: cluster.client, flights, rate, meter, onFlight }),
  ])
  await untilOwning(cluster, joining)
  progress.stop()
  return { flights: flights.length, meter, crash, join }
}

async function untilOwning(cluster: DemoCluster, node: string): Promise<void> {
  const deadlineMs = performance.now() + movedWithinMs
  while ((cluster.owned().get(node) ?? 0) === 0) {
    if (performance.now() > deadlineMs) throw new Error(`${node} has joined, and owns no partition after ${movedWithinMs} ms`)
    await sleep(20)
  }
}
