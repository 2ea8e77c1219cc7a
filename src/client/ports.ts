/** What a client is made over. Which adapters those are is for the composition root to say. */
import type { Metric } from '../ports/metrics.ts'
import type { DenialListener } from './denials.ts'
import type { SessionPorts } from './session-options.ts'

export interface ClientPorts extends SessionPorts {
  /** What the adapters of these ports have to say of how full they are. Default: nothing. */
  readonly metrics?: () => readonly Metric[]
  /** Called at `close`, and when connecting fails: closes what was opened for this client. Default: nothing. */
  readonly release?: () => Promise<void>
  /** Has the listener called, besides those before it, with each thing that the server does not let this user do. Default: nobody can tell. */
  readonly onDenied?: (listener: DenialListener) => void
}
