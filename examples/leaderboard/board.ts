import { actor } from '../../src/index.ts'

export interface Score {
  readonly player: string
  readonly points: number
}

const kept = 100

/** One board for each game: the best score of each player, the best hundred of them. */
export const Board = actor('board', {
  version: 1,
  state: () => [] as Score[],
  commands: {
    /** The player's rank from 1, or null where it is not among the best. */
    submit(ctx, { player, points }: Score): number | null {
      const best = ctx.state.find((score) => score.player === player)
      if (best === undefined || best.points < points) {
        const others = ctx.state.filter((score) => score.player !== player)
        const at = others.findIndex((score) => score.points < points)
        ctx.state = others.toSpliced(at < 0 ? others.length : at, 0, { player, points }).slice(0, kept)
      }
      return rankOf(ctx.state, player)
    },
  },
  queries: {
    top: (scores, count: number) => scores.slice(0, count),
    rank: rankOf,
  },
})

function rankOf(scores: readonly Score[], player: string): number | null {
  const at = scores.findIndex((score) => score.player === player)
  return at < 0 ? null : at + 1
}
