import { describe, expect, it } from 'vitest'
import { errorCodes, HoldfastError, isHoldfastError, messageOf, type ErrorCode } from '../../src/protocol/errors.ts'

describe('an error', () => {
  it.each(errorCodes)('%s ends with where it is told of, once, and has its bare sentence (H1)', (code) => {
    const pointer = ` (holdfast/docs/errors.md#${code.toLowerCase()})`
    const error = new HoldfastError(code, 'this is wrong: do that')
    expect(error.message).toBe(`this is wrong: do that${pointer}`)
    expect(error.reason).toBe('this is wrong: do that')
    expect(messageOf(error)).toBe('this is wrong: do that')
    expect(error.stack).toContain(error.message)
    for (const other of errorCodes)
      expect(new HoldfastError(code, new HoldfastError(other, 'a').message).reason).toBe('a')
    expect(new HoldfastError(code, error.message).message).toBe(error.message)
  })

  it('leaves sentences alone that only look like one with a pointer', () => {
    const said = 'see (holdfast/docs/errors.md#unknown) for it'
    expect(new HoldfastError('INVALID', said).reason).toBe(said)
  })

  it('carries what its code has for certain (H2)', () => {
    expect(new HoldfastError('OVERLOADED', 'x').retryAfterMs).toBe(100)
    expect(new HoldfastError('OVERLOADED', 'x', { retryAfterMs: 5 }).retryAfterMs).toBe(5)
    expect(new HoldfastError('RETRY', 'x').retryAfterMs).toBeUndefined()
    const cause = new TypeError('why')
    const details = { id: 's:1', path: '$.a', cycle: ['cart/c1'], cause }
    expect(new HoldfastError('UNKNOWN', 'x', details)).toMatchObject(details)
  })
})

describe('isHoldfastError', () => {
  it('knows errors of Holdfast, of any code or of one', () => {
    const error = new HoldfastError('RETRY', 'x')
    expect(isHoldfastError(error)).toBe(true)
    expect(isHoldfastError(error, 'RETRY')).toBe(true)
    expect(isHoldfastError(error, 'UNKNOWN')).toBe(false)
    for (const other of [new Error('x'), null, undefined, 'RETRY', { name: 'HoldfastError', code: 'RETRY' }])
      expect(isHoldfastError(other)).toBe(false)
  })

  it('knows those of another copy of the package', () => {
    const foreign = Object.assign(new Error('said (holdfast/docs/errors.md#retry)'), {
      name: 'HoldfastError',
      code: 'RETRY',
    })
    expect(isHoldfastError(foreign, 'RETRY')).toBe(true)
    expect(messageOf(foreign)).toBe('said')
  })

  it('narrows the code, and what comes with it', () => {
    const told = (error: unknown): unknown => {
      if (isHoldfastError(error, 'UNKNOWN')) {
        const code: 'UNKNOWN' = error.code
        const id: string = error.id
        // @ts-expect-error an UNKNOWN has no time to wait
        const wait: number = error.retryAfterMs
        return [code, id, wait]
      }
      if (isHoldfastError(error, 'OVERLOADED')) {
        const wait: number = error.retryAfterMs
        return wait
      }
      if (isHoldfastError(error, 'DEADLOCK')) {
        const cycle: readonly string[] = error.cycle
        return cycle
      }
      if (isHoldfastError(error, 'INVALID')) {
        const path: string | undefined = error.path
        // @ts-expect-error not every INVALID is about a place in a value
        const certain: string = error.path
        return [path, certain]
      }
      if (isHoldfastError(error)) {
        const code: ErrorCode = error.code
        // @ts-expect-error it may be any
        const unknown: 'UNKNOWN' = error.code
        return [code, unknown]
      }
      // @ts-expect-error anything may be thrown
      return error.code as unknown
    }
    expect(told(new HoldfastError('UNKNOWN', 'x', { id: 's:1' }))).toEqual(['UNKNOWN', 's:1', undefined])
    expect(told(new HoldfastError('OVERLOADED', 'x'))).toBe(100)
    expect(told(new HoldfastError('DEADLOCK', 'x', { cycle: ['a/b'] }))).toEqual(['a/b'])
    // @ts-expect-error there is no such code
    expect(isHoldfastError(new Error('x'), 'LOST')).toBe(false)
  })
})

describe('messageOf', () => {
  it('is the sentence of anything that was thrown', () => {
    expect(messageOf(new Error('x (holdfast/docs/errors.md#retry)'))).toBe('x (holdfast/docs/errors.md#retry)')
    expect(messageOf('text')).toBe('text')
    expect(messageOf(null)).toBe('null')
  })
})
