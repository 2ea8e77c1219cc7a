/** What happens to the nodes of a simulation, drawn from its seed: crash, freeze, loss, delay, clocks that jump, joining and leaving. */
import type { SeededRandom } from '../../src/testing/seeded-random.ts'
import type { SimCluster, SimNode } from './cluster.ts'

const names = ['a', 'b', 'c', 'd']

type Fault = (cluster: SimCluster, node: SimNode, random: SeededRandom) => void

const faults: readonly (readonly [name: string, weight: number, fault: Fault])[] = [
  [
    'crash',
    3,
    (cluster, node, random) => {
      cluster.crash(node.name)
      cluster.clock.setTimeout(() => start(cluster, node.name), random.between(0, 4_000))
    },
  ],
  [
    'freeze',
    3,
    (cluster, { process }, random) => {
      process.freeze()
      cluster.clock.setTimeout(() => process.thaw(), random.between(50, 4_000))
    },
  ],
  [
    'cut',
    2,
    (cluster, { process }, random) => {
      process.cut({ noticeAfterMs: random.chance(0.5) ? 0 : random.between(0, 1_500) })
      cluster.clock.setTimeout(() => process.heal(), random.between(50, 3_000))
    },
  ],
  [
    'cut one link',
    2,
    (cluster, { process }, random) => {
      const link = random.pick(Object.values(process.links))!
      link.cut({ noticeAfterMs: random.chance(0.5) ? 0 : random.between(0, 1_500) })
      cluster.clock.setTimeout(() => link.heal(), random.between(50, 3_000))
    },
  ],
  [
    'bad appends',
    3,
    (cluster, { process }, random) => {
      const { faults: appends } = process.changelog
      const former = { ...appends }
      Object.assign(appends, {
        loseAcknowledgement: 0.2,
        loseRequest: 0.1,
        delay: 0.2,
        refuse: 0.05,
        delayMs: random.between(100, 5_000),
      })
      cluster.clock.setTimeout(() => void Object.assign(appends, former), random.between(500, 3_000))
    },
  ],
  [
    'lossy messages',
    2,
    (cluster, { process }, random) => {
      process.links.hub.dropProbability = random.between(0.02, 0.3)
      cluster.clock.setTimeout(
        () => {
          process.links.hub.dropProbability = 0
        },
        random.between(500, 3_000),
      )
    },
  ],
  [
    'slow network',
    1,
    (cluster, { process }, random) => {
      const link = random.pick(Object.values(process.links))!
      link.delayMs = random.between(5, 700)
      cluster.clock.setTimeout(
        () => {
          link.delayMs = 0
        },
        random.between(500, 3_000),
      )
    },
  ],
  [
    // Its lease runs out while its appends are under way: they arrive behind the claim of another (L3).
    'late appends',
    3,
    (cluster, { process }, random) => {
      const { changelog, registry } = process.links
      registry.cut()
      changelog.delayMs = random.between(1_500, 5_000)
      cluster.clock.setTimeout(
        () => {
          registry.heal()
          changelog.delayMs = 0
        },
        random.between(2_500, 5_000),
      )
    },
  ],
  [
    // It is declared dead and goes on serving whoever still asks it, until its log tells it.
    'registry away',
    3,
    (cluster, { process }, random) => {
      process.links.registry.cut()
      cluster.clock.setTimeout(() => process.links.registry.heal(), random.between(2_000, 5_000))
    },
  ],
  ['wall clock jumps', 1, (_, { process }, random) => void (process.clock.skewMs += random.between(-5_000, 5_000))],
  [
    'leave',
    1,
    (cluster, { name, node, process }, random) => {
      if (cluster.nodes.size < 2) return
      cluster.nodes.delete(name)
      void node
        .drain()
        // Where nothing can be moved it goes all the same.
        .catch(() => {})
        .then(() => node.close())
        .then(() => process.stores.close())
        .then(() => cluster.clock.setTimeout(() => start(cluster, name), random.between(0, 2_000)))
    },
  ],
  [
    'join',
    1,
    (cluster) =>
      start(
        cluster,
        names.find((name) => !cluster.nodes.has(name)),
      ),
  ],
]

/** Faults until `untilMs`, one at a time or several at once, as chance has it. Gives their names as they come. */
export function disturb(
  cluster: SimCluster,
  random: SeededRandom,
  untilMs: number,
  told: (fault: string) => void,
): void {
  const total = faults.reduce((sum, [, weight]) => sum + weight, 0)
  const next = () => {
    if (cluster.clock.monotonic() >= untilMs) return
    const node = random.pick([...cluster.nodes.values()])
    let draw = random.below(total)
    const [name, , fault] = faults.find(([, weight]) => (draw -= weight) < 0)!
    if (node !== undefined) {
      told(`${cluster.clock.monotonic().toFixed(0)} ${name} ${node.name}`)
      fault(cluster, node, random)
    }
    cluster.clock.setTimeout(next, random.between(100, 2_500))
  }
  cluster.clock.setTimeout(next, random.between(100, 1_000))
}

function start(cluster: SimCluster, name: string | undefined): void {
  if (name !== undefined && !cluster.nodes.has(name)) cluster.start(name)
}
