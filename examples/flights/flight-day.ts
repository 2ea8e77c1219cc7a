/** The run itself: the load, with a node crashed at one third of it and a new one started at two thirds. */
import type { DemoCluster } from './cluster.ts'
import type { Flight } from './flights.ts'
import { flyAll } from './load.ts'
import { Meter, type Episode } from './meter.ts'
import { Milestones } from './milestones.ts'
import { Progress } from './progress.ts'
import { settled } from './settled.ts'
import type { Teardown } from '../support/teardown.ts'

export interface FlightDay {
  readonly flights: number
  readonly meter: Meter
  readonly crash: Episode
  readonly join: Episode
}

const crashing = 'node-2'
const joining = 'node-4'

/** Resolves when every command is acknowledged and the new node has its share. */
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

  await settled(cluster)
  progress.start()
  const [crash, join] = await Promise.all([
    crashAtOneThird(),
    joinAtTwoThirds(),
    flyAll({ client: cluster.client, flights, rate, meter, onFlight }),
  ])
  await settled(cluster)
  progress.stop()
  return { flights: flights.length, meter, crash, join }
}
