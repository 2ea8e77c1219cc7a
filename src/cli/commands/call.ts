/** `call`, `tell` and `query`: one request to one keyed actor. */
import { Option, type Command } from 'commander'
import { parseCommandId } from '../../client/command-id.ts'
import { readingOf } from '../../client/call-options.ts'
import { addressOf } from '../../client/session.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import { isIdempotencyKey, maxIdempotencyKeyBytes, type RequestKind } from '../../protocol/frames.ts'
import { checkName } from '../../protocol/subjects.ts'
import { toJson } from '../../protocol/values.ts'
import { exitCodes } from '../exit-codes.ts'
import { inputHelp, inputOf } from '../input.ts'
import { define, remoteExits, type Surroundings } from '../run.ts'
import { parseDuration } from '../settings.ts'

interface Form {
  readonly name: string
  readonly kind: RequestKind
  readonly summary: string
  readonly what: string
  readonly examples: readonly string[]
  readonly repeatable: boolean
}

interface CallFlags {
  readonly id?: string
  readonly idempotencyKey?: string
  readonly maxStaleness?: number
}

const forms: readonly Form[] = [
  {
    name: 'call',
    kind: 'call',
    summary: 'Runs a command (or a query) of a keyed actor and prints its result.',
    what: 'command',
    examples: [
      'holdfast call counter c1 add 5',
      `holdfast call cart c1 add '{"sku":"tea","qty":2}'`,
      'holdfast call counter c1 add 5 --idempotency-key order-17',
    ],
    repeatable: true,
  },
  {
    name: 'tell',
    kind: 'tell',
    summary: 'Runs a command of a keyed actor; done as soon as it is durably accepted, without its result.',
    what: 'command',
    examples: ['holdfast tell counter c1 add 5'],
    repeatable: true,
  },
  {
    name: 'query',
    kind: 'query',
    summary: 'Reads from a keyed actor: changes nothing.',
    what: 'query',
    examples: ['holdfast query counter c1 value', 'holdfast query counter c1 value --max-staleness 500ms --json'],
    repeatable: false,
  },
]

/** Of what reads one thing. */
export const maxStaleness = () =>
  new Option(
    '--max-staleness <duration>',
    'how old the state may be that is read: then a standby may answer, too; none: strongly',
  ).argParser(parseDuration)

export function addCalls(program: Command, surroundings: Surroundings): void {
  for (const form of forms) addCall(program, surroundings, form)
}

function addCall(program: Command, surroundings: Surroundings, form: Form): void {
  const { name, kind, summary, what, examples, repeatable } = form
  const command = program
    .command(name)
    .description(summary)
    .argument('<type>', 'actor type, e.g. cart')
    .argument('<key>', 'which one, e.g. c1')
    .argument(`<${what}>`, `name of the ${what}`)
    .argument('[input]', `its input: ${inputHelp}; none is null`)
  if (repeatable) {
    command
      .option('--id <id>', 'repeats one command: the id that an error named, or one of your own, within 90 s')
      .option(
        '--idempotency-key <key>',
        'the same key within 24 h is the same command, and gives the first result again',
      )
  }
  if (kind === 'query') command.addOption(maxStaleness())
  const exits = [
    exitCodes.failed,
    exitCodes.usage,
    exitCodes.again,
    exitCodes.unknown,
    exitCodes.conflict,
    exitCodes.internal,
  ]
  const text = {
    examples,
    exits: repeatable ? exits : [exitCodes.failed, ...remoteExits, exitCodes.conflict],
  }
  define(command, surroundings, text, async (run, type, key, method, given) => {
    const { id, idempotencyKey, maxStaleness } = command.opts<CallFlags>()
    checkName(type, 'type')
    checkName(key, 'key')
    if (idempotencyKey !== undefined && !isIdempotencyKey(idempotencyKey)) {
      throw new HoldfastError('INVALID', `--idempotency-key has 1 to ${maxIdempotencyKeyBytes} bytes of UTF-8`)
    }
    const options = {
      ...(id === undefined ? {} : { id: parseCommandId(id) }),
      ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
      ...readingOf(maxStaleness),
    }
    const input = await inputOf(given, surroundings.stdin)
    const requests = await (await run.session()).requests()
    const value = toJson((await requests.request(kind, addressOf(type, key), method, input, options)) ?? null)
    if (kind === 'tell') run.output.result({ accepted: true }, 'accepted')
    else run.output.result(value, () => JSON.stringify(value, null, 2))
  })
}
