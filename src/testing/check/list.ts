/**
 * A list that only grows: an operation appends an id and is told the new length, or reads the list, or its length and last id.
 *
 * V1. No id is appended by two operations; a `RangeError` otherwise.
 * V2. What is at a place stays there. So whatever any operation saw of a place, at any time, is what is there from the beginning: an id is
 *     *pinned* to its place by a read that shows it there and by the reply to its own append. Operations that contradict each other about
 *     a place cannot both have happened: the later one in the history is then impossible in every state.
 * V3. The state is the length. An append is possible where its id is pinned to the next place, or where neither is pinned. What is at a
 *     place that is not pinned makes no difference to anyone, so unknown appends of ids that are not pinned are of one kind.
 * V4. Unknown operations wait. Let d be possible at length n and after U, at n + m. With an output, m is 0 and U is nothing. Without one it
 *     is an append whose id is not pinned, as are neither place n nor place n + m, nor then the first of U: these two change places.
 */
import type { Asked, Model } from './model.ts'

export type ListInput = { readonly kind: 'append'; readonly id: string } | { readonly kind: 'read' }

/** Of an append the new length; of a read the list, or how it ended. */
export type ListOutput = number | readonly string[] | Ending

export interface Ending {
  readonly length: number
  /** `undefined`: of an empty list. */
  readonly last: string | undefined
}

export function listOf(operations: readonly Asked<ListInput, ListOutput>[]): Model<number, ListInput, ListOutput> {
  const pins = new Pins()
  const appended = new Set<string>()
  /** Outputs of reads, which are objects, and ids of appends, whose outputs contradict others. */
  const impossible = new Set<unknown>()
  for (const { input, output } of operations) {
    if (input.kind === 'append') {
      if (appended.has(input.id)) throw new RangeError(`${input.id} is appended twice: let each append have its own id`)
      appended.add(input.id)
      if (typeof output === 'number' && !pins.pin(output - 1, input.id)) impossible.add(input.id)
    } else if (output !== undefined && !pins.pinAll(output)) impossible.add(output)
  }
  return {
    initial: 0,
    step(length, input, output) {
      if (input.kind === 'read') {
        return output === undefined || (lengthOf(output) === length && !impossible.has(output)) ? [length] : []
      }
      const { id } = input
      if (pins.at(length) !== id && (pins.at(length) !== undefined || pins.has(id))) return []
      if (output !== undefined && (output !== length + 1 || impossible.has(id))) return []
      return [length + 1]
    },
    key: (length) => length,
    idle: (input) => input.kind === 'read',
    missed: (length, input, output) =>
      output !== undefined && lengthOf(output) < length + (input.kind === 'append' ? 1 : 0),
    kind(input, output) {
      if (input.kind === 'append') return output === undefined && !pins.has(input.id) ? 'not pinned' : `id ${input.id}`
      return output === undefined || impossible.has(output) ? 'read' : lengthOf(output)
    },
    unknownsWait: true,
    show(input, output) {
      if (input.kind === 'append') return `append ${input.id}${output === undefined ? '' : ` = ${showOutput(output)}`}`
      return `read${output === undefined ? '' : ` = ${showOutput(output)}`}`
    },
    showState: (length) => `a list of ${length}${length === 0 ? '' : `, the last ${pins.at(length - 1) ?? 'unknown'}`}`,
  }
}

const lengthOf = (output: ListOutput): number => (typeof output === 'number' ? output : output.length)

const shownIds = 6

function showOutput(output: ListOutput): string {
  if (typeof output === 'number') return String(output)
  if (!isList(output)) return output.length === 0 ? '[]' : `[… ${output.last}], ${output.length} ids`
  if (output.length <= shownIds) return `[${output.join(' ')}]`
  return `[… ${output.slice(-shownIds).join(' ')}], ${output.length} ids`
}

const isList = (output: readonly string[] | Ending): output is readonly string[] => Array.isArray(output)

/** V2 */
class Pins {
  readonly #ids: (string | undefined)[] = []
  readonly #places = new Map<string, number>()

  at(place: number): string | undefined {
    return this.#ids[place]
  }

  has(id: string): boolean {
    return this.#places.has(id)
  }

  /** `false`: it contradicts what is pinned. */
  pin(place: number, id: string): boolean {
    const there = this.#ids[place]
    const known = this.#places.get(id)
    if (there === undefined && known === undefined && place >= 0) {
      this.#ids[place] = id
      this.#places.set(id, place)
      return true
    }
    return there === id && known === place
  }

  pinAll(output: ListOutput): boolean {
    if (typeof output === 'number') return false
    if (isList(output)) return output.reduce((fits, id, place) => this.pin(place, id) && fits, true)
    return output.last === undefined ? output.length === 0 : this.pin(output.length - 1, output.last)
  }
}
