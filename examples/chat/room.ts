import { actor } from '../../src/index.ts'

export interface Message {
  readonly from: string
  readonly text: string
  readonly at: number
}

const kept = 50

/** A chat room keeps its members and its last messages. */
export const Room = actor('room', {
  version: 1,
  state: () => ({ members: [] as string[], messages: [] as Message[] }),
  commands: {
    join(ctx, name: string) {
      if (!ctx.state.members.includes(name)) ctx.state.members.push(name)
    },
    say(ctx, { from, text }: { readonly from: string; readonly text: string }) {
      if (!ctx.state.members.includes(from)) throw new Error(`${from} has not joined`)
      ctx.state.messages = [...ctx.state.messages, { from, text, at: ctx.now() }].slice(-kept)
    },
    leave(ctx, name: string) {
      ctx.state.members = ctx.state.members.filter((member) => member !== name)
      if (ctx.state.members.length === 0) ctx.destroy()
    },
  },
  queries: { members: (state) => state.members },
})
