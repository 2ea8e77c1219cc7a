/**
 * The JSON forms of values, for clients that speak JSON. The table is in the head of values.ts.
 */
import { HoldfastError } from './errors.ts'
import { maxBigintBits, maxDepth, pathOf, type Value } from './value-format.ts'

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

type Trail = (string | number)[]

/** The JSON form of a value. Throws `INVALID` for what is none, with its path. */
export const toJson = (value: Value): Json => formOf(value, [])

function formOf(value: Value, trail: Trail): Json {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      return finite(value, trail)
    case 'bigint':
      return { $bigint: value.toString() }
    case 'object':
      if (value === null) return null
      if (Array.isArray(value)) return within(value, trail, formOf)
      if (value instanceof Uint8Array) return { $bytes: base64(value) }
      if (value instanceof Date) {
        if (Number.isNaN(value.getTime())) throw refused(trail, 'an invalid date is not a value')
        return { $date: value.toISOString() }
      }
      return isForm(value) ? { $object: inside(value, trail, formOf) } : inside(value, trail, formOf)
    default:
      throw refused(trail, `a ${typeof value} is not a value`)
  }
}

/** The value of a JSON form, as `JSON.parse` gives it. Throws `INVALID` for a form that is not right, with its path. */
export const fromJson = (json: unknown): Value => valueOf(json, [])

function valueOf(json: unknown, trail: Trail): Value {
  switch (typeof json) {
    case 'string':
    case 'boolean':
      return json
    case 'number':
      return finite(json, trail)
    case 'object':
      if (json === null) return null
      if (Array.isArray(json)) return within(json, trail, valueOf)
      return isForm(json) ? valueOfForm(json, trail) : inside(json, trail, valueOf)
    default:
      throw refused(trail, `a ${typeof json} is not JSON`)
  }
}

type Form = { readonly [name in (typeof formNames)[number]]?: unknown }
const formNames = ['$bytes', '$bigint', '$date', '$object'] as const

const isForm = (object: object): object is Form => {
  let only: string | undefined
  for (const key in object) {
    if (only !== undefined) return false
    only = key
  }
  return only !== undefined && (formNames as readonly string[]).includes(only)
}

function valueOfForm(form: Form, trail: Trail): Value {
  const [name, content] = Object.entries(form)[0] as [string, unknown]
  if (name === '$object') {
    if (typeof content !== 'object' || content === null || Array.isArray(content)) {
      throw refused(trail, '$object holds an object')
    }
    return inside(content, trail, valueOf)
  }
  if (typeof content !== 'string') {
    throw refused(trail, `${name} holds a text; write an object that has this key alone as {"$object": {"${name}": …}}`)
  }
  if (name === '$bytes') {
    const bytes = Buffer.from(content, 'base64')
    if (bytes.toString('base64') !== content) throw refused(trail, '$bytes holds base64 with padding, and nothing else')
    return new Uint8Array(bytes)
  }
  if (name === '$bigint') {
    const n = /^(0|-?[1-9][0-9]{0,309})$/.test(content) ? BigInt(content) : undefined
    if (n === undefined || BigInt.asIntN(maxBigintBits, n) !== n) {
      throw refused(trail, `$bigint holds a whole decimal number of at most ${maxBigintBits} bits`)
    }
    return n
  }
  return dateOf(content, trail)
}

const timestamp = /^((?:\d{4}|[+-]\d{6})-\d\d-\d\d)T\d\d:\d\d:\d\d(?:\.\d{1,3})?(?:Z|[+-]\d\d:\d\d)$/

function dateOf(text: string, trail: Trail): Date {
  const day = timestamp.exec(text)?.[1]
  const date = new Date(day === undefined ? Number.NaN : text)
  // A day such as 30 February would be taken for one in March.
  const midnight = new Date(`${day}T00:00:00Z`)
  if (Number.isNaN(date.getTime()) || Number.isNaN(midnight.getTime()) || !midnight.toISOString().startsWith(day!)) {
    throw refused(trail, '$date holds a time such as "2026-01-31T12:00:00.000Z"')
  }
  return date
}

type Step<From, To> = (item: From, trail: Trail) => To

function within<From, To>(items: readonly From[], trail: Trail, step: Step<From, To>): To[] {
  checkDepth(trail)
  const converted = new Array<To>(items.length)
  for (let i = 0; i < items.length; i++) {
    trail.push(i)
    converted[i] = step(items[i]!, trail)
    trail.pop()
  }
  return converted
}

function inside<To>(object: object, trail: Trail, step: Step<never, To> | Step<unknown, To>): { [key: string]: To } {
  checkDepth(trail)
  const converted: { [key: string]: To } = {}
  for (const key of Object.keys(object)) {
    const item = (object as Record<string, never>)[key]
    if (item === undefined) continue
    trail.push(key)
    if (key === '__proto__') throw refused(trail, '"__proto__" is not a key: use another')
    converted[key] = step(item, trail)
    trail.pop()
  }
  return converted
}

function checkDepth(trail: Trail): void {
  if (trail.length >= maxDepth) throw refused(trail, `a value is at most ${maxDepth} levels deep`)
}

function finite(n: number, trail: Trail): number {
  if (!Number.isFinite(n)) throw refused(trail, `${n} is not a value: use a finite number or null`)
  return n === 0 ? 0 : n
}

const base64 = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')

function refused(trail: Trail, reason: string): HoldfastError {
  const path = pathOf(trail)
  return new HoldfastError('INVALID', `this has no JSON form: at ${path}, ${reason}`, { path })
}
