/** What everybody was told in the time around one strike, by what they asked of. */
import type { CounterInput } from '../../src/testing/check/counter.ts'
import { History } from '../../src/testing/check/history.ts'
import type { ListInput, ListOutput } from '../../src/testing/check/list.ts'
import type { RegisterInput, RegisterOutput } from '../../src/testing/check/register.ts'

/** Times are those of `performance.now()`. */
export class Histories {
  readonly ledgers = new History<ListInput, ListOutput>()
  readonly counters = new History<CounterInput, number>()
  readonly entries = new History<RegisterInput, RegisterOutput>()
  /** Errors that nobody has to reckon with. */
  readonly mistakes: string[] = []

  get operations(): number {
    return this.ledgers.size + this.counters.size + this.entries.size
  }
}
