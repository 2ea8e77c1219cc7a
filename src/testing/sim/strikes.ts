/**
 * Faults, one after the other, each aimed at a step of the protocol: most steps last for less than a thousandth of the time, and chance
 * alone would never meet them.
 *
 * K1. A strike draws a kind of fault and a step, waits until that step is under way somewhere, and strikes there, at once or a moment
 *     later. Where it does not come to that in time, it strikes anywhere.
 * K2. While it waits something may be done that leads to the step: without deaths and moves some never happen.
 */
import type { SeededRandom } from '../seeded-random.ts'
import type { SimCluster, SimNode } from './cluster.ts'
import type { Coverage } from './coverage.ts'
import { wideFaults, type FaultKind, type Faults } from './faults.ts'
import type { Plan } from './plan.ts'
import { steps, type Step } from './steps.ts'
import { underWay } from './under-way.ts'

export interface StrikesOptions {
  readonly cluster: SimCluster
  readonly plan: Plan
  readonly random: SeededRandom
  readonly faults: Faults
  readonly coverage: Coverage
}

export class Strikes {
  readonly #options: StrikesOptions
  #waiting: { readonly step: Step; readonly come: (node: string) => void } | undefined

  constructor(options: StrikesOptions) {
    this.#options = options
    options.cluster.onStep((step, node) => {
      if (this.#waiting?.step === step) this.#waiting.come(node)
    })
  }

  /** Strikes again and again; resolves after the last, when `untilMs` has come. */
  async until(untilMs: number): Promise<void> {
    const { cluster, plan, random } = this.#options
    const { clock } = cluster
    while (clock.monotonic() < untilMs) {
      await this.#strike(untilMs)
      await pause(cluster, Math.min(random.between(...plan.gapMs), Math.max(0, untilMs - clock.monotonic())))
    }
  }

  /** K1 */
  async #strike(untilMs: number): Promise<void> {
    const { cluster, plan, random } = this.#options
    const kind = random.pick(plan.kinds)!
    const step = random.pick(steps)
    const patienceMs = Math.min(3_000 + 3_000 * plan.pace, untilMs - cluster.clock.monotonic())
    const name = this.#whereUnderWay(step) ?? (await this.#next(step, patienceMs))
    if (name !== undefined) await pause(cluster, random.pick([0, 0, random.between(0, 0.4), random.between(0, 30)]))
    const node = cluster.nodes.get(name ?? '') ?? random.pick([...cluster.nodes.values()])
    if (node !== undefined) this.#hit(kind, node)
  }

  #hit(kind: FaultKind, node: SimNode): void {
    const { cluster, faults, coverage } = this.#options
    const nodes = wideFaults.has(kind) ? [...cluster.nodes.values()] : [node]
    // As it is before: a crash leaves nothing to ask.
    const found = new Set(nodes.flatMap((one) => [...underWay(cluster, one)]))
    if (!faults.begin(kind, node)) return
    for (const step of found) coverage.hit(kind, step)
    cluster.note(`${kind} ${wideFaults.has(kind) ? '' : node.name} during: ${[...found].join(', ')}`)
  }

  #whereUnderWay(step: Step): string | undefined {
    const { cluster, random } = this.#options
    return random.pick([...cluster.nodes.values()].filter((node) => underWay(cluster, node).has(step)))?.name
  }

  /** The node where the step begins next. */
  #next(step: Step, patienceMs: number): Promise<string | undefined> {
    const { cluster, plan, random } = this.#options
    if (random.chance(plan.provokes)) this.#provoke(step)
    return new Promise((resolve) => {
      const end = (node: string | undefined) => {
        if (this.#waiting !== waiting) return
        this.#waiting = undefined
        cluster.clock.clearTimeout(timer)
        resolve(node)
      }
      const waiting = { step, come: end }
      this.#waiting = waiting
      const timer = cluster.clock.setTimeout(() => end(undefined), patienceMs)
    })
  }

  /** K2 */
  #provoke(step: Step): void {
    const { cluster, faults, random } = this.#options
    const nodes = [...cluster.nodes.values()]
    const leader = nodes.find(({ node }) => node.status().leading)
    const node = step === 'electing' ? leader : random.pick(nodes)
    const kind = causes[step] ?? 'crash'
    if (node !== undefined && faults.begin(kind, node)) cluster.note(`${kind} ${node.name}, so that there is ${step}`)
  }
}

/** What leads to a step, where that is not a crash and a restart. */
const causes: { readonly [step in Step]?: FaultKind } = {
  leaving: 'leave',
  'declaring a death': 'freeze',
  'repeated request': 'loss',
  'reading back': 'bad appends',
  'asking for a hand-off': 'leave',
  'moving away': 'leave',
  'level for a move': 'leave',
  'handing off': 'leave',
  'handed off, not named': 'leave',
}

const pause = ({ clock }: SimCluster, ms: number) => new Promise<void>((resolve) => clock.setTimeout(resolve, ms))
