/**
 * A run's way to the cluster: one connection to NATS, and on it what the command needs.
 *
 * S1. A cluster that nobody of answers is told from a server that is not there, from a login that may not ask, and from one node of it that
 *     is silent: each has its sentence.
 * S2. An order that was sent and that nobody has answered may have been carried out: it ends with `UNKNOWN`. A question does nothing.
 * S3. Whatever was opened is closed by `close`, also after a failure: a run ends by itself.
 */
import { openNats, openNatsTransport, type NatsPorts } from '../adapters/nats/open.ts'
import { SystemClock } from '../adapters/system/clock.ts'
import { SystemRandom } from '../adapters/system/random.ts'
import { connectOver } from '../client/connect.ts'
import { Denials, type DenialListener } from '../client/denials.ts'
import type { Holdfast } from '../client/holdfast.ts'
import type { ClientPorts } from '../client/ports.ts'
import { Session } from '../client/session.ts'
import { decodeClusterReport, type ClusterReport } from '../placement/status-report.ts'
import type { Clock } from '../ports/clock.ts'
import { silent } from '../ports/observer.ts'
import type { Transport } from '../ports/transport.ts'
import { HoldfastError } from '../protocol/errors.ts'
import type { NodeId } from '../protocol/ids.ts'
import { subjectsOf, type Subjects } from '../protocol/subjects.ts'
import { addressesOf, type Settings } from './settings.ts'

/** A node that has just started answers soon; who is still not there after this is not there. */
const absentAfterMs = 1_500
const betweenTriesMs = 100
/** When the leader has died another one is elected within this. */
const leaderlessAfterMs = 5_000
/** One of several nodes may not know the table yet, and says nothing. */
const oneTryMs = 1_000

export class CliSession {
  readonly clock: Clock = new SystemClock()
  readonly random = new SystemRandom()
  readonly subjects: Subjects
  readonly settings: Settings
  readonly transport: Transport
  readonly #ends: (() => Promise<void>)[]
  readonly #denials: Denials

  /** Connects, and asks nobody anything yet. Rejects like `connect`. */
  static async open(settings: Settings): Promise<CliSession> {
    const subjects = subjectsOf(settings.cluster)
    const observer = new Denials()
    const parts = { clock: new SystemClock(), random: new SystemRandom(), observer }
    const transport = await openNatsTransport({ name: 'holdfast-cli', ...settings.nats }, parts)
    return new CliSession(settings, subjects, transport, observer)
  }

  private constructor(settings: Settings, subjects: Subjects, transport: Transport, denials: Denials) {
    this.settings = settings
    this.subjects = subjects
    this.transport = transport
    this.#denials = denials
    this.#ends = [() => transport.close()]
  }

  /** The full client, once a node of the cluster has answered. */
  async client(): Promise<Holdfast> {
    await this.#findNode()
    const { cluster, timeoutMs } = this.settings
    const holdfast = await connectOver(this.#ports, { cluster, timeout: timeoutMs, connectTimeout: timeoutMs })
    this.#ends.unshift(() => holdfast.close())
    return holdfast
  }

  /** For requests by name. */
  async requests(): Promise<Session> {
    await this.#findNode()
    const { cluster, timeoutMs } = this.settings
    const session = new Session(this.#ports, { cluster, timeoutMs })
    this.#ends.unshift(() => Promise.resolve(session.close()))
    this.#denials.listen(({ subject }, reason) => session.denied(subject, reason))
    await session.whenPlaced()
    return session
  }

  async report(): Promise<ClusterReport> {
    return decodeClusterReport(await this.ask(this.subjects.status))
  }

  /** One request to whoever answers the subject, sent again until it is answered. Throws `RETRY` where nobody does. */
  ask(subject: string, data: Uint8Array = new Uint8Array(), timeoutMs = this.settings.timeoutMs): Promise<Uint8Array> {
    const nobody = () => this.#nobody()
    return this.#ask(subject, data, { timeoutMs, nobodyAfterMs: absentAfterMs, nobody, order: false })
  }

  /** An order to the node of that id, likewise: `RETRY` where it is not there, `UNKNOWN` by S2. */
  orderNode(node: NodeId, data: Uint8Array): Promise<Uint8Array> {
    const { timeoutMs } = this.settings
    const nobody = () => nodeless(node)
    return this.#ask(this.subjects.nodeControl(node), data, {
      timeoutMs,
      nobodyAfterMs: absentAfterMs,
      nobody,
      order: true,
    })
  }

  /**
   * An order to whoever leads placement, or a question, likewise. Throws `RETRY` where nodes are there and none of them leads, `UNKNOWN`
   * by S2.
   */
  async askLeader(data: Uint8Array, order: boolean): Promise<Uint8Array> {
    await this.#findNode()
    const { timeoutMs } = this.settings
    const nobody = () => this.#leaderless()
    return this.#ask(this.subjects.placementOrder, data, { timeoutMs, nobodyAfterMs: leaderlessAfterMs, nobody, order })
  }

  async #ask(subject: string, data: Uint8Array, patience: Patience): Promise<Uint8Array> {
    const { timeoutMs, nobodyAfterMs, nobody, order } = patience
    const sinceMs = this.clock.monotonic()
    let unanswered = false
    for (;;) {
      const answer = await this.#askOnce(subject, data, Math.min(oneTryMs, timeoutMs))
      if (answer.kind === 'reply') return answer.data
      const waitedMs = this.clock.monotonic() - sinceMs
      if (answer.kind === 'refused') throw new HoldfastError('INVALID', answer.reason)
      unanswered ||= answer.kind === 'silence'
      const absent = answer.kind === 'nobody' && waitedMs >= Math.min(nobodyAfterMs, timeoutMs)
      if (order && unanswered && (absent || waitedMs >= timeoutMs)) throw unheard(subject, waitedMs)
      if (absent) throw nobody()
      if (waitedMs >= timeoutMs) throw this.#silent(subject, timeoutMs)
      if (answer.kind === 'nobody') await this.sleep(betweenTriesMs)
    }
  }

  /** JetStream's ports, on a connection of their own. Nothing is created. */
  async jetStream(): Promise<NatsPorts> {
    const { nats, cluster } = this.settings
    const parts = { clock: this.clock, random: this.random, observer: silent }
    const ports = await openNats({ name: 'holdfast-cli', ...nats, cluster }, parts)
    this.#ends.unshift(() => ports.close())
    return ports
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.clock.setTimeout(resolve, ms))
  }

  async close(): Promise<void> {
    for (const end of this.#ends.splice(0)) await end().catch(() => {})
  }

  /** S1 */
  async #findNode(): Promise<void> {
    await this.ask(this.subjects.placementGet)
  }

  #askOnce(subject: string, data: Uint8Array, timeoutMs: number): Promise<Answer> {
    const { transport, clock } = this
    return new Promise((resolve) => {
      const inbox = transport.inbox()
      const settle = (answer: Answer) => {
        clock.clearTimeout(timer)
        denials.close()
        subscription.close()
        resolve(answer)
      }
      const subscription = transport.subscribe(inbox, (message) => {
        settle(message.noResponders ? { kind: 'nobody' } : { kind: 'reply', data: message.data })
      })
      const timer = clock.setTimeout(() => settle({ kind: 'silence' }), timeoutMs)
      const denials = this.#denials.listen((denied, reason) => {
        if (denied.subject === subject || denied.subject === inbox) settle({ kind: 'refused', reason })
      })
      transport.publish(subject, data, { reply: inbox })
    })
  }

  get #ports(): ClientPorts {
    const { transport, clock, random } = this
    const onDenied = (listener: DenialListener) => void this.#denials.listen(listener)
    return { transport, clock, random, observer: silent, onDenied }
  }

  get #where(): string {
    return addressesOf(this.settings.nats.servers)
  }

  #nobody(): HoldfastError {
    const { cluster } = this.settings
    return new HoldfastError(
      'RETRY',
      `the NATS server at ${this.#where} answers, but no node of the cluster "${cluster}" does: correct --cluster, or start a node with "holdfast node" or "holdfast dev"`,
    )
  }

  #leaderless(): HoldfastError {
    const { placementOrder } = this.subjects
    return new HoldfastError(
      'RETRY',
      `no node answers as the leader of placement on ${placementOrder}: try again; if "holdfast status" names a leader, permit nodes to subscribe to that`,
    )
  }

  #silent(subject: string, timeoutMs: number): HoldfastError {
    return new HoldfastError(
      'TIMEOUT',
      `nobody has answered on ${subject} within ${timeoutMs} ms: try again, or give a longer --timeout`,
    )
  }
}

const nodeless = (node: NodeId) =>
  new HoldfastError(
    'RETRY',
    `the node ${node} does not answer: it has ended, or its user may not subscribe to what is asked of it; see "holdfast members"`,
  )

/** S2 */
const unheard = (subject: string, ms: number) =>
  new HoldfastError(
    'UNKNOWN',
    `nobody has answered the order on ${subject} within ${Math.round(ms)} ms, and it may have been carried out: look, with "holdfast status"`,
  )

interface Patience {
  readonly timeoutMs: number
  /** How long nobody may be there. */
  readonly nobodyAfterMs: number
  readonly nobody: () => HoldfastError
  /** Whether it does something (S2). */
  readonly order: boolean
}

type Answer =
  | { readonly kind: 'reply'; readonly data: Uint8Array }
  /** The server's word that nobody listens. */
  | { readonly kind: 'nobody' }
  | { readonly kind: 'silence' }
  /** The server's word that this login may not ask, or may not hear the answer. */
  | { readonly kind: 'refused'; readonly reason: string }
