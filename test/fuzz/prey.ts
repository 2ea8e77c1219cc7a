/** What attackers can call: an actor that keeps whatever it is given, a store, and two tasks. */
import { actor, type CommandContext } from '../../src/behaviour/index.ts'
import { task, type TaskDefinition } from '../../src/behaviour/task.ts'

export const preyKeys = ['k0', 'k1', 'k2', 'k/3', 'ключ', '__proto__']
export const storeName = 'things'
export const streamName = 'IN'
export const taskSubjects = 'in.>'

interface State {
  turns: number
  kept: unknown
}

export const Prey = actor('prey', {
  version: 1,
  state: (): State => ({ turns: 0, kept: null }),
  commands: {
    add(ctx: CommandContext<State>, n: unknown) {
      ctx.state.turns += typeof n === 'number' ? 1 : 0
      return ctx.state.turns
    },
    keep(ctx: CommandContext<State>, value: unknown) {
      ctx.state.kept = value
      return value
    },
    async later(ctx: CommandContext<State>, value: unknown) {
      await Promise.resolve()
      ctx.state.turns++
      return value
    },
    fail(ctx: CommandContext<State>, why: unknown) {
      ctx.state.turns = -1
      throw why
    },
    end: (ctx: CommandContext<State>) => ctx.destroy(),
  },
  queries: { read: (state: State) => state },
})

const tally = (name: string, input: TaskDefinition['input']): TaskDefinition =>
  task(name, {
    input,
    stores: [`${name}-seen`],
    // What cannot be read is left out: a stream that anybody may write to must not stand still for it.
    onError: 'skip',
    async process({ value, subject }, { store }) {
      await store(`${name}-seen`).put(subject, value)
    },
  })

export const tallies = (): readonly TaskDefinition[] => [
  tally('heard', { subject: taskSubjects }),
  tally('stored', { stream: streamName }),
]
