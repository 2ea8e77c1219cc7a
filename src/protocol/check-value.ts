/**
 * Checks a value before it is packed. The rules are those of values.ts (V3–V7).
 *
 * K1. What comes out is a copy made of plain objects, plain arrays and texts, numbers, bytes and dates that nobody else changes:
 *     every property was read once, so what is packed is what was checked, whatever getters and proxies say the second time; and
 *     no code of the caller runs while msgpackr packs, which it would not survive. Bytes alone are not copied.
 * K2. A walk may begin inside another (in a getter): they share the count of bytes alone, and the inner one puts it back.
 */
/// <reference lib="es2024.string" />
import { HoldfastError } from './errors.ts'
import { maxBigintBits, maxDepth, maxValueBytes, pathOf } from './value-format.ts'

/** What an array or object counts at least: a small one that is in a value a million times is copied as often. */
const containerBytes = 16

/** Of `maxValueBytes`. What is counted is never more than what is packed, except for small arrays and objects. */
let bytesLeft = 0

/** On its way out, it learns the way to what is wrong. */
class Refusal extends Error {
  readonly trail: (string | number)[] = []
}

/** What msgpackr is to pack for a value. Throws `INVALID` with a path for anything that is not one. */
export function checkValue(value: unknown): unknown {
  const outer = bytesLeft
  bytesLeft = maxValueBytes
  try {
    return check(value === undefined ? null : value, maxDepth)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    const path = pathOf(error.trail.toReversed())
    throw new HoldfastError('INVALID', `this cannot be stored or sent: at ${path}, ${error.message}`, { path })
  } finally {
    bytesLeft = outer
  }
}

function check(value: unknown, levels: number): unknown {
  switch (typeof value) {
    case 'string':
      checkText(value)
      return value
    case 'number':
      if ((value | 0) === value) return value
      if (!Number.isFinite(value)) throw new Refusal(`${value} is not a value: use a finite number or null`)
      count(8)
      return value
    case 'boolean':
      return value
    case 'object':
      return value === null ? null : checkObject(value, levels)
    case 'bigint':
      return checkBigint(value)
    case 'undefined':
      throw new Refusal('undefined is not a value here: use null')
    default:
      throw new Refusal(`a ${typeof value} is not a value`)
  }
}

function checkBigint(n: bigint): bigint {
  if (BigInt.asIntN(64, n) === n) count(8)
  else if (BigInt.asIntN(maxBigintBits, n) === n) count(n.toString(16).length >> 1)
  else throw new Refusal(`a bigint has at most ${maxBigintBits} bits`)
  return n
}

function checkText(text: string): void {
  count(text.length)
  if (!text.isWellFormed()) {
    throw new Refusal('a text with a lone surrogate is not a value: make it well-formed Unicode')
  }
}

function checkObject(value: object, levels: number): unknown {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null) return checkMap(value, levels)
  if (Array.isArray(value)) return checkArray(value, levels)
  if (value instanceof Uint8Array) {
    count(value.length)
    // A subclass may have its own idea of what its constructor is.
    return prototype === Uint8Array.prototype || prototype === Buffer.prototype
      ? value
      : new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  }
  if (value instanceof Date) {
    const ms = value.getTime()
    if (Number.isNaN(ms)) throw new Refusal('an invalid date is not a value: use null')
    count(6)
    return new Date(ms)
  }
  const name: unknown = value.constructor?.name
  const what = typeof name === 'string' && name !== '' ? `a ${name}` : 'an instance of a class'
  throw new Refusal(`${what} is not a value: use plain objects, arrays, Uint8Array, Date and bigint`)
}

function checkArray(items: readonly unknown[], levels: number): unknown[] {
  const length = items.length
  enter(levels, length)
  const copy = new Array<unknown>(length)
  let i = 0
  try {
    for (; i < length; i++) copy[i] = check(items[i], levels - 1)
  } catch (error) {
    throw further(error, i)
  }
  return copy
}

function checkMap(object: object, levels: number): unknown {
  enter(levels, 0)
  const copy: Record<string, unknown> = {}
  let step = ''
  try {
    // The engine knows this loop: the names and places of the properties come from the object's shape.
    for (const key in object) {
      if (!Object.prototype.hasOwnProperty.call(object, key)) continue
      step = key
      const item = (object as typeof copy)[key]
      if (item === undefined) continue
      if (key === '__proto__') throw new Refusal('"__proto__" is not a key: use another')
      checkText(key)
      copy[key] = check(item, levels - 1)
    }
  } catch (error) {
    throw further(error, step)
  }
  // msgpackr would ask the object for its constructor.
  return Object.hasOwn(copy, 'constructor') ? new Map(Object.entries(copy)) : copy
}

function enter(levels: number, items: number): void {
  if (levels === 0) {
    throw new Refusal(`a value is at most ${maxDepth} levels deep: this one is deeper, or holds itself`)
  }
  count(Math.max(items, containerBytes))
}

function count(bytes: number): void {
  bytesLeft -= bytes
  if (bytesLeft < 0) throw new Refusal(`a value has at most ${maxValueBytes} bytes: store it in parts`)
}

function further(error: unknown, step: string | number): unknown {
  if (error instanceof Refusal) error.trail.push(step)
  return error
}
