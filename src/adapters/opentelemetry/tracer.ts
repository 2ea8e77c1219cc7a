/**
 * Spans by OpenTelemetry's API, where the process has registered an SDK; nothing of it is loaded where it has not.
 *
 *   holdfast.call <type>.<command>   CLIENT, of the caller
 *     holdfast.turn                  SERVER, of the owner; one for each attempt that arrives
 *       holdfast.wait  holdfast.handler  holdfast.commit
 */
import type * as Api from '@opentelemetry/api'
import type { CallSpan, Outcome, Phase, Traced, Tracer, TurnSpan } from '../../ports/tracer.ts'
import type { Epoch, PartitionId, Rev, Seq } from '../../protocol/ids.ts'
import { formatTraceparent, parseTraceparent } from '../../protocol/traces.ts'

/** Where every copy of OpenTelemetry's API, of its first major version, finds what is registered in the process. */
const registered = Symbol.for('opentelemetry.js.api.1')

/** `undefined` where no SDK collects spans by now: register it before. `version`: of this package. */
export async function openTracer(version: string): Promise<Tracer | undefined> {
  if (!(registered in globalThis)) return undefined
  // It is optional; who has an SDK has it.
  const api = await import('@opentelemetry/api').catch(() => undefined)
  if (api === undefined || !collects(api)) return undefined
  return new OpenTelemetryTracer(api, version)
}

/** False where only a part of the API is used, such as its metrics. */
function collects({ trace, ProxyTracerProvider }: typeof Api): boolean {
  const provider = trace.getTracerProvider()
  if (!(provider instanceof ProxyTracerProvider)) return true
  return provider.getDelegate() !== new ProxyTracerProvider().getDelegate()
}

class OpenTelemetryTracer implements Tracer {
  readonly #api: typeof Api
  readonly #tracer: Api.Tracer

  constructor(api: typeof Api, version: string) {
    this.#api = api
    this.#tracer = api.trace.getTracer('holdfast', version)
  }

  call(what: Traced, parent: string | undefined): CallSpan | undefined {
    const { context, SpanKind } = this.#api
    const under = (parent === undefined ? undefined : this.#remote(parent)) ?? context.active()
    const options = { kind: SpanKind.CLIENT, attributes: attributesOf(what) }
    const span = this.#tracer.startSpan(`holdfast.call ${what.type}.${what.name}`, options, under)
    return span.isRecording() ? new OpenTelemetryCall(this.#api, span) : undefined
  }

  turn(what: Traced, partition: PartitionId, parent: string | undefined): TurnSpan | undefined {
    const { SpanKind, ROOT_CONTEXT, trace } = this.#api
    const under = (parent === undefined ? undefined : this.#remote(parent)) ?? ROOT_CONTEXT
    const attributes = { ...attributesOf(what), 'holdfast.partition': partition }
    const span = this.#tracer.startSpan('holdfast.turn', { kind: SpanKind.SERVER, attributes }, under)
    if (!span.isRecording()) return undefined
    return new OpenTelemetryTurn(this.#api, this.#tracer, span, trace.setSpan(under, span))
  }

  #remote(traceparent: string): Api.Context | undefined {
    const parent = parseTraceparent(traceparent)
    if (parent === undefined) return undefined
    const { traceId, spanId, flags } = parent
    const { trace, ROOT_CONTEXT } = this.#api
    return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: flags, isRemote: true })
  }
}

const attributesOf = ({ kind, type, name }: Traced) => ({
  'holdfast.kind': kind,
  'holdfast.type': type,
  'holdfast.command': name,
})

class OpenTelemetryCall implements CallSpan {
  readonly traceparent: string
  readonly #api: typeof Api
  readonly #span: Api.Span

  constructor(api: typeof Api, span: Api.Span) {
    const { traceId, spanId, traceFlags } = span.spanContext()
    this.#api = api
    this.#span = span
    this.traceparent = formatTraceparent({ traceId, spanId, flags: traceFlags })
  }

  attempt(number: number): void {
    this.#span.addEvent('holdfast.attempt', { 'holdfast.attempt': number })
  }

  end(outcome: Outcome, attempts: number): void {
    this.#span.setAttribute('holdfast.attempts', attempts)
    endAs(this.#api, this.#span, outcome)
  }
}

class OpenTelemetryTurn implements TurnSpan {
  readonly #api: typeof Api
  readonly #tracer: Api.Tracer
  readonly #span: Api.Span
  readonly #own: Api.Context
  #phase: Api.Span | undefined

  constructor(api: typeof Api, tracer: Api.Tracer, span: Api.Span, own: Api.Context) {
    this.#api = api
    this.#tracer = tracer
    this.#span = span
    this.#own = own
  }

  owned(epoch: Epoch): void {
    this.#span.setAttribute('holdfast.epoch', epoch)
  }

  repeated(): void {
    this.#span.setAttribute('holdfast.repeated', true)
  }

  enter(phase: Phase | undefined): void {
    this.#phase?.end()
    this.#phase = phase === undefined ? undefined : this.#tracer.startSpan(`holdfast.${phase}`, {}, this.#own)
  }

  within<T>(run: () => T): T {
    const { context, trace } = this.#api
    return context.with(this.#phase === undefined ? this.#own : trace.setSpan(this.#own, this.#phase), run)
  }

  committed(seq: Seq, rev: Rev | undefined): void {
    this.#phase?.setAttribute('holdfast.seq', seq)
    if (rev !== undefined) this.#span.setAttribute('holdfast.rev', rev)
  }

  end(outcome: Outcome): void {
    this.enter(undefined)
    endAs(this.#api, this.#span, outcome)
  }
}

function endAs({ SpanStatusCode }: typeof Api, span: Api.Span, outcome: Outcome): void {
  span.setAttribute('holdfast.outcome', outcome)
  if (outcome !== 'OK' && outcome !== 'MOVED') {
    span.setAttribute('error.type', outcome)
    span.setStatus({ code: SpanStatusCode.ERROR })
  }
  span.end()
}
