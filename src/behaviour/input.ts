/**
 * Inputs that a definition gives a schema: any validator that speaks Standard Schema v1.
 *
 * Q1. A handler with a schema sees what the schema made of the input, never the input itself. Without one it sees what was sent.
 * Q2. The node checks, before the handler runs, whoever has sent it: a client in another language as well as a typed one.
 * Q3. What a schema refuses is `INVALID`, with the message of its first issue and where that is. A schema that throws is `INVALID`, too.
 * Q4. No input is null on the wire, whoever sends it. A schema that refuses null but takes undefined takes it.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { HoldfastError, messageOf } from '../protocol/errors.ts'
import { pathOf } from '../protocol/value-format.ts'
import type { ActorDefinition } from './definition.ts'

/** Whether it is a schema: an object or a function (ArkType's are) with the `~standard` properties of version 1. */
export function isSchema(value: unknown): value is StandardSchemaV1 {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null || !('~standard' in value))
    return false
  const standard: unknown = value['~standard']
  return (
    typeof standard === 'object' &&
    standard !== null &&
    'version' in standard &&
    standard.version === 1 &&
    'validate' in standard &&
    typeof standard.validate === 'function'
  )
}

/**
 * What the handler of a command or query gets for an input: the input itself, or what its schema makes of it. A promise where the schema
 * validates asynchronously. Throws, or rejects with, `INVALID` for what the schema refuses (Q3).
 */
export function parseInput({ type, inputs }: ActorDefinition, name: string, input: unknown): unknown {
  const schema = inputs[name]
  if (schema === undefined) return input
  const what = `the input of ${name} of ${type}`
  const result = validate(schema, input, what)
  return result instanceof Promise ? result.then((settled) => valueOf(settled, what)) : valueOf(result, what)
}

type Result = StandardSchemaV1.Result<unknown>

/** No input at all is null on the wire: where a schema has no use for null it is asked about undefined, too (Q4). */
function validate(schema: StandardSchemaV1, input: unknown, what: string): Result | Promise<Result> {
  const result = ask(schema, input, what)
  if (input !== null) return result
  const again = (first: Result) => {
    if (first.issues === undefined) return first
    const second = ask(schema, undefined, what)
    const best = (settled: Result) => (settled.issues === undefined ? settled : first)
    return second instanceof Promise ? second.then(best) : best(second)
  }
  return result instanceof Promise ? result.then(again) : again(result)
}

function ask(schema: StandardSchemaV1, input: unknown, what: string): Result | Promise<Result> {
  try {
    const result = schema['~standard'].validate(input)
    if (!isPromise(result)) return result
    return Promise.resolve(result).catch((cause: unknown) => {
      throw threw(what, cause)
    })
  } catch (cause) {
    throw threw(what, cause)
  }
}

function valueOf(result: Result, what: string): unknown {
  if (result.issues === undefined) return result.value
  const [issue] = result.issues
  const path = pathOf((issue?.path ?? []).map(stepOf))
  throw new HoldfastError('INVALID', `${what} is refused at ${path}: ${issue?.message ?? 'its schema says no more'}`, {
    path,
  })
}

const threw = (what: string, cause: unknown) =>
  new HoldfastError('INVALID', `${what} could not be checked, its schema threw: ${messageOf(cause)}`, { cause })

function stepOf(segment: PropertyKey | StandardSchemaV1.PathSegment): string | number {
  const key = typeof segment === 'object' ? segment.key : segment
  return typeof key === 'symbol' ? String(key) : key
}

const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
