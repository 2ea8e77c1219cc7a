import type { StandardSchemaV1 } from '@standard-schema/spec'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { actor } from '../../src/behaviour/actor.ts'
import type { ActorDefinition } from '../../src/behaviour/definition.ts'
import { parseInput } from '../../src/behaviour/input.ts'
import type { HoldfastError } from '../../src/protocol/errors.ts'

type Result = StandardSchemaV1.Result<unknown>

/** A schema of our own: anything that says it is one is one. */
const schema = (validate: (value: unknown) => Result | Promise<Result>): StandardSchemaV1 => ({
  '~standard': { version: 1, vendor: 'test', validate },
})

const withSchema = (add: StandardSchemaV1): ActorDefinition =>
  actor('cart', { version: 1, state: () => 0, input: { add }, commands: { add() {}, free() {} } })

const Cart = withSchema(z.object({ items: z.array(z.object({ price: z.number(), 'a b': z.string().default('x') })) }))

function refusal(run: () => unknown): Partial<HoldfastError> {
  try {
    run()
  } catch (error) {
    return error as HoldfastError
  }
  throw new Error('it was not refused')
}

describe('an input with a schema', () => {
  it('is what the schema makes of it (Q1)', () => {
    expect(parseInput(Cart, 'add', { items: [{ price: 2, more: 1 }] })).toEqual({ items: [{ price: 2, 'a b': 'x' }] })
  })

  it('is INVALID where the schema refuses it, with the message and the path of its first issue (Q3)', () => {
    const error = refusal(() => parseInput(Cart, 'add', { items: [{ price: 2 }, { price: 'much', 'a b': 1 }] }))
    expect(error).toMatchObject({ code: 'INVALID', path: '$.items[1].price' })
    expect(error.reason).toMatch(/^the input of add of cart is refused at \$\.items\[1\]\.price: .*expected number/)
    expect(refusal(() => parseInput(Cart, 'add', { items: [{ price: 2, 'a b': 1 }] })).path).toBe('$.items[0]["a b"]')
    expect(refusal(() => parseInput(Cart, 'add', null)).path).toBe('$')
  })

  it('may be checked asynchronously', async () => {
    const later = withSchema(z.number().refine(async (n) => Promise.resolve(n > 0), 'too small'))
    await expect(parseInput(later, 'add', 2)).resolves.toBe(2)
    await expect(parseInput(later, 'add', -2)).rejects.toMatchObject({
      code: 'INVALID',
      reason: expect.stringContaining('too small'),
    })
  })

  it('is INVALID where the schema throws or rejects (Q3)', async () => {
    const cause = new Error('broken')
    const throwing = withSchema(
      schema(() => {
        throw cause
      }),
    )
    expect(refusal(() => parseInput(throwing, 'add', 1))).toMatchObject({ code: 'INVALID', cause })
    const rejecting = withSchema(schema(() => Promise.reject(cause)))
    await expect(parseInput(rejecting, 'add', 1)).rejects.toMatchObject({ code: 'INVALID', cause })
  })

  it('takes paths of every form, and issues that say little', () => {
    const path = [{ key: 'list' }, 3, 'x', Symbol('s')]
    const odd = withSchema(schema(() => ({ issues: [{ message: 'no', path }] })))
    expect(refusal(() => parseInput(odd, 'add', 1)).path).toBe('$.list[3].x["Symbol(s)"]')
    const silent = withSchema(schema(() => ({ issues: [] })))
    expect(refusal(() => parseInput(silent, 'add', 1))).toMatchObject({ code: 'INVALID', path: '$' })
  })

  it('may be left out where the schema says so, though it is null on the wire (Q4)', async () => {
    expect(parseInput(withSchema(z.string().optional()), 'add', null)).toBeUndefined()
    expect(parseInput(withSchema(z.number().default(7)), 'add', null)).toBe(7)
    expect(parseInput(withSchema(z.string().nullish()), 'add', null)).toBeNull()
    const later = schema(async (value) => (value === undefined ? { value: 'none' } : { issues: [{ message: 'no' }] }))
    await expect(parseInput(withSchema(later), 'add', null)).resolves.toBe('none')
    await expect(parseInput(withSchema(later), 'add', 7)).rejects.toMatchObject({ code: 'INVALID' })
    expect(refusal(() => parseInput(withSchema(z.string()), 'add', null)).reason).toContain('received null')
  })
})

describe('an input without a schema', () => {
  it('is what was sent, the very same', () => {
    const input = { any: 'thing' }
    expect(parseInput(Cart, 'free', input)).toBe(input)
    expect(parseInput(Cart, 'toString', input)).toBe(input)
  })
})
