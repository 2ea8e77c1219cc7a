/**
 * The two keyed actor types: what each airport and each route knows of the flights that it saw.
 *
 * A flight is three commands: `departed` at its origin, `arrived` at its destination, `flew` on its route. Each of them changes the
 * state of its actor, so an actor's rev is the number of commands that it has handled.
 */
import { actor } from '../../src/index.ts'

/** `airport/<code>`: flights from and to it, and the sum of their delays, in minutes. */
export const Airport = actor('airport', {
  version: 1,
  state: () => ({ departures: 0, arrivals: 0, delay: 0 }),
  commands: {
    departed(ctx, delay: number) {
      ctx.state.departures++
      ctx.state.delay += delay
    },
    arrived(ctx, delay: number) {
      ctx.state.arrivals++
      ctx.state.delay += delay
    },
    /** Changes nothing, so it adds no rev. */
    rev: (ctx) => ctx.rev,
  },
  queries: {
    totals: (state) => state,
  },
})

/** `route/<origin>-<destination>`: its flights, and the sum of their delays, in minutes. */
export const Route = actor('route', {
  version: 1,
  state: () => ({ flights: 0, delay: 0 }),
  commands: {
    flew(ctx, delay: number) {
      ctx.state.flights++
      ctx.state.delay += delay
    },
    /** Changes nothing, so it adds no rev. */
    rev: (ctx) => ctx.rev,
  },
  queries: {
    totals: (state) => state,
  },
})
