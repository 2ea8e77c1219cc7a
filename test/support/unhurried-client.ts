/** A client that waits for each answer as long as it takes: for tests that count what it sends. */
import { openTracer } from '../../src/adapters/opentelemetry/tracer.ts'
import { SystemClock } from '../../src/adapters/system/clock.ts'
import { SystemRandom } from '../../src/adapters/system/random.ts'
import { connectOver } from '../../src/client/connect.ts'
import type { Holdfast } from '../../src/client/holdfast.ts'
import type { Timer } from '../../src/ports/clock.ts'
import { silent } from '../../src/ports/observer.ts'
import type { Transport } from '../../src/ports/transport.ts'
import { version } from '../../src/version.ts'

/** Once it stands still, nothing is ever late, and nothing repeated. */
class StandingClock extends SystemClock {
  #stoodAtMs: number | undefined

  stand(): void {
    this.#stoodAtMs = this.monotonic()
  }

  override monotonic(): number {
    return this.#stoodAtMs ?? super.monotonic()
  }

  override setTimeout(run: () => void, ms: number): Timer {
    return this.#stoodAtMs === undefined ? super.setTimeout(run, ms) : ({} as Timer)
  }
}

/** Of a cluster that has a node; the transport is closed with it. */
export async function unhurriedClient(cluster: string, transport: Transport): Promise<Holdfast> {
  const tracer = await openTracer(version)
  const release = () => transport.close()
  const clock = new StandingClock()
  const parts = { clock, random: new SystemRandom(), observer: silent, tracer }
  const client = await connectOver({ ...parts, transport, release }, { cluster })
  // Not before: a node that has just begun may not hear the first question who owns what.
  clock.stand()
  return client
}
