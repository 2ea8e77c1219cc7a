/**
 * Checks a value before it is packed. The rules are those of values.ts (V3–V7).
 *
 * K1. What comes out is a copy made of plain objects, plain arrays and texts, numbers, bytes and dates that nobody else changes:
 *     every property was read once, so what is packed is what was checked, whatever getters and proxies say the second time; and
 *     no code of the caller runs while msgpackr packs, which it would not survive. Bytes alone are not copied.
 * K2. Positions belong to the module: a walk that begins inside another (in a getter) goes on behind it, and puts them back.
 */
import { HoldfastError } from './errors.ts'
import { maxBigintBits, maxDepth, maxValueBytes, pathOf } from './value-format.ts'

/** What an array or object counts at least: a small one that is in a value a million times is copied as often. */
const containerBytes = 16

/** The key or index that is being checked at each depth, for the path of an error; those of this walk from `base` on. */
const trail: (string | number)[] = []
let base = 0
let depth = 0
/** Of `maxValueBytes`. Estimates are never too high, except for arrays and objects. */
let bytesLeft = 0

/** What msgpackr is to pack for a value. Throws `INVALID` with a path for anything that is not one. */
export function checkValue(value: unknown): unknown {
  const [outerBase, outerDepth, outerBytesLeft] = [base, depth, bytesLeft]
  base = depth
  bytesLeft = maxValueBytes
  try {
    return check(value === undefined ? null : value)
  } finally {
    base = outerBase
    depth = outerDepth
    bytesLeft = outerBytesLeft
  }
}

function check(value: unknown): unknown {
  switch (typeof value) {
    case 'string':
      return checkText(value)
    case 'number':
      if (!Number.isFinite(value)) throw refused(`${value} is not a value: use a finite number or null`)
      count(1)
      return value
    case 'boolean':
      count(1)
      return value
    case 'bigint':
      if (BigInt.asIntN(64, value) !== value && BigInt.asIntN(maxBigintBits, value) !== value) {
        throw refused(`a bigint has at most ${maxBigintBits} bits`)
      }
      count(9)
      return value
    case 'object':
      if (value !== null) return checkObject(value)
      count(1)
      return null
    case 'undefined':
      throw refused('undefined is not a value here: use null')
    default:
      throw refused(`a ${typeof value} is not a value`)
  }
}

function checkText(text: string): string {
  count(1 + text.length)
  if (/\p{Surrogate}/u.test(text)) {
    throw refused('a text with a lone surrogate is not a value: make it well-formed Unicode')
  }
  return text
}

function checkObject(value: object): unknown {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null) return checkMap(value)
  if (Array.isArray(value)) return checkArray(value)
  if (value instanceof Uint8Array) {
    count(2 + value.length)
    // Of a subclass its own idea of `constructor` would count.
    return prototype === Uint8Array.prototype || prototype === Buffer.prototype
      ? value
      : new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  }
  if (value instanceof Date) {
    const ms = value.getTime()
    if (Number.isNaN(ms)) throw refused('an invalid date is not a value: use null')
    count(6)
    return new Date(ms)
  }
  const name: unknown = value.constructor?.name
  const what = typeof name === 'string' && name !== '' ? `a ${name}` : 'an instance of a class'
  throw refused(`${what} is not a value: use plain objects, arrays, Uint8Array, Date and bigint`)
}

function checkArray(items: readonly unknown[]): unknown[] {
  const level = enter()
  const length = items.length
  if (length > bytesLeft) throw tooLong()
  const copy = new Array<unknown>(length)
  for (let i = 0; i < length; i++) {
    trail[level] = i
    copy[i] = check(items[i])
  }
  depth = level
  return copy
}

function checkMap(object: object): unknown {
  const level = enter()
  const copy: Record<string, unknown> = { ...object }
  const keys = Object.keys(copy)
  let plain = true
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!
    const item = copy[key]
    if (item === undefined) {
      plain = false
      continue
    }
    trail[level] = key
    if (key === '__proto__') throw refused('"__proto__" is not a key: use another')
    // msgpackr asks an object for its constructor.
    if (key === 'constructor') plain = false
    checkText(key)
    const checked = check(item)
    if (checked !== item) copy[key] = checked
  }
  depth = level
  return plain ? copy : new Map(Object.entries(copy).filter(([, item]) => item !== undefined))
}

/** The level of an array or object that is about to be checked. */
function enter(): number {
  if (depth - base >= maxDepth) {
    throw refused(`a value is at most ${maxDepth} levels deep: this one is deeper, or holds itself`)
  }
  count(containerBytes)
  return depth++
}

function count(bytes: number): void {
  bytesLeft -= bytes
  if (bytesLeft < 0) throw tooLong()
}

const tooLong = () => refused(`a value has at most ${maxValueBytes} bytes: store it in parts`)

function refused(reason: string): HoldfastError {
  const path = pathOf(trail.slice(base, depth))
  return new HoldfastError('INVALID', `this cannot be stored or sent: at ${path}, ${reason}`, { path })
}
