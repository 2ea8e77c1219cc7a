/** Options as users give them: an object, or left out. */
import { HoldfastError } from './errors.ts'

/** The options as they are. Anything but an object throws `INVALID`; `what` is what takes them, as the sentence names it. */
export function optionsOf<Options extends object>(options: Options, what: string): Options {
  if (typeof options === 'object' && options !== null) return options
  throw new HoldfastError('INVALID', `${what} takes an object of options`)
}
