/**
 * The pages of a node's HTTP door: `/healthz`, `/readyz` and `/metrics`.
 *
 * It opens before the node does, so that a supervisor hears that a node is starting, for as long as that takes.
 */
import type { NodeStatus } from '../../actors/node.ts'
import { contentType, exposition } from '../adapters/prometheus/exposition.ts'
import { liveness, readiness, type HealthFacts, type Verdict } from '../core/health.ts'
import { WorkMeter } from '../partition/work-meter.ts'
import type { Clock } from '../ports/clock.ts'
import type { Metric } from '../ports/metrics.ts'
import type { Observer } from '../ports/observer.ts'
import { version } from '../version.ts'
import { EventMeter } from './event-meter.ts'
import { LoopWatch } from './loop-watch.ts'
import { httpAddressOf, openHttpDoor, type HttpDoor, type Page } from './http-door.ts'
import { nodeFamilies } from './node-families.ts'

/** Of a node, what its door shows. */
export interface Shown {
  status(): NodeStatus
  health(): HealthFacts
  metrics(): readonly Metric[]
}

export class NodeDoor {
  /** To be given to the node. */
  readonly meter = new WorkMeter()
  readonly observer: EventMeter
  readonly #loop: LoopWatch
  readonly #cluster: string
  #door: HttpDoor | undefined
  #node: Shown | undefined

  private constructor(cluster: string, observer: Observer, clock: Clock) {
    this.#cluster = cluster
    this.observer = new EventMeter(observer, clock)
    this.#loop = new LoopWatch(clock)
  }

  /** Rejects as `httpAddressOf` and `openHttpDoor` do. */
  static async open(address: number | string, cluster: string, observer: Observer, clock: Clock): Promise<NodeDoor> {
    const door = new NodeDoor(cluster, observer, clock)
    const pages = {
      '/healthz': () => door.#judged(liveness),
      '/readyz': () => door.#judged(readiness),
      '/metrics': () => door.#metrics(),
    }
    door.#door = await openHttpDoor(httpAddressOf(address), pages, (reason) =>
      door.observer.emit({ type: 'door.trouble', door: 'http', reason }),
    )
    door.#loop.start()
    return door
  }

  get url(): string {
    return this.#door!.url
  }

  show(node: Shown): void {
    this.#node = node
  }

  async close(): Promise<void> {
    this.#loop.stop()
    await this.#door?.close()
  }

  #judged(judge: (facts: HealthFacts) => Verdict): Page {
    const facts = this.#node?.health() ?? beforeAll
    const reasons = judge(facts)
    const body = { ok: reasons.length === 0, state: facts.state, reasons }
    return {
      status: reasons.length === 0 ? 200 : 503,
      type: 'application/json; charset=utf-8',
      body: `${JSON.stringify(body)}\n`,
    }
  }

  async #metrics(): Promise<Page> {
    const node = this.#node
    const ofNode =
      node === undefined
        ? []
        : nodeFamilies(
            {
              cluster: this.#cluster,
              version,
              status: node.status(),
              health: node.health(),
              metrics: node.metrics(),
            },
            this.meter,
          )
    const body = await exposition([...ofNode, ...this.observer.families(), ...this.#loop.families()])
    return { status: 200, type: contentType, body }
  }
}

/** Of a node that is not there yet. */
const beforeAll: HealthFacts = { state: 'starting', connected: false, lease: undefined, named: undefined }
