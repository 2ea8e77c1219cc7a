import type { Transport } from '../src/ports/transport.ts'
import { encodeView, type PlacementView } from '../src/core/table.ts'
import { subjectsOf } from '../src/protocol/subjects.ts'
export interface Gateway { close(): void }
export function createGateway(o: { transport: Transport; cluster: string; view: () => PlacementView | undefined; [k: string]: unknown }): Gateway {
  const s = o.transport.subscribe(subjectsOf(o.cluster).placementGet, (m) => {
    const v = o.view()
    if (m.reply && v) o.transport.publish(m.reply, encodeView(v))
  }, { queue: 'gateway' })
  return { close: () => s.close() }
}
