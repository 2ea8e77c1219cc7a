import { describe, expect, it } from 'vitest'
import { task } from '../../src/behaviour/task.ts'
import { checkNodeOptions, type CreateNodeOptions } from '../../src/node/options.ts'

const named = (name: string, ...stores: readonly string[]) =>
  task(name, { input: { subject: 'a' }, stores, process() {} })
const streaming = task('streaming', { input: { stream: 'ORDERS' }, process() {} })

const check = (tasks: unknown, more: object = { servers: 'localhost' }) =>
  checkNodeOptions({ actors: [], dataDir: 'd', tasks, ...more } as CreateNodeOptions)

describe('the tasks of a node', () => {
  it('may be none, or several with stores of their own', () => {
    const right = [undefined, [], [named('a', 'x', 'y'), named('b', 'z'), streaming]]
    for (const tasks of right) expect(() => check(tasks)).not.toThrow()
    expect(() => check([named('a', 'x')], { embedded: true })).not.toThrow()
  })

  it.each([
    ['give a list of what task() returned', {}],
    ['give a list of what task() returned', [{ kind: 'actor' }]],
    ['the task "a" is given twice', [named('a'), named('a')]],
    ['the store "x" is of "a" and of "b"', [named('a', 'x'), named('b', 'x')]],
  ])('are refused: %s', (why, tasks) => {
    expect(() => check(tasks)).toThrow(why)
    expect(() => check(tasks)).toThrow(expect.objectContaining({ code: 'INVALID' }) as Error)
  })

  it('cannot read a stream where the node is embedded', () => {
    expect(() => check([streaming], { embedded: true })).toThrow('"streaming" reads the stream ORDERS')
  })
})
