/** A leaderboard: many players at once, one order; the ranks are right whatever comes first. */
import { withCluster } from '../support/embedded.ts'
import { Board } from './board.ts'

await withCluster([Board], async (hf) => {
  const board = hf.actor(Board, 'asteroids')
  const players = ['ada', 'bob', 'cleo', 'dan']
  await Promise.all(
    players.flatMap((player, i) => [100, 300, 200].map((base) => board.submit({ player, points: base + i }))),
  )
  for (const { player, points } of await board.top(3)) console.log(points, player)
  console.log('bob is', await board.rank('bob'))
  console.log('bob is', await board.submit({ player: 'bob', points: 999 }))
})
