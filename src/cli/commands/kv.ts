/** `kv …`: the entries of a key-value store. */
import { Option, type Command } from 'commander'
import type { KvEntry } from '../../behaviour/kv-store.ts'
import type { Kv } from '../../client/kv.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import { toJson, type Value } from '../../protocol/values.ts'
import { exitCodes } from '../exit-codes.ts'
import { inputHelp, inputOf } from '../input.ts'
import type { Output } from '../output.ts'
import { parseCount, parseWhole } from '../parse.ts'
import { define, remoteExits, type Run, type Surroundings } from '../run.ts'
import { parseDuration } from '../settings.ts'
import { maxStaleness } from './call.ts'
import { follow, oneOfBoth } from './watch.ts'

const writeExits = Object.values(exitCodes).filter((code) => code !== exitCodes.ok && code !== exitCodes.failed)
const lookupExits = [...remoteExits, exitCodes.conflict]

const ttl = () => new Option('--ttl <duration>', 'expires after it: 30s, 2h, 7d').argParser(parseDuration)

export function addKv(program: Command, surroundings: Surroundings): void {
  const kv = program.command('kv').description('Reads, writes and watches key-value stores.')
  addReading(kv, surroundings)
  addWriting(kv, surroundings)
  addRanges(kv, surroundings)
}

function addReading(kv: Command, surroundings: Surroundings): void {
  const get = kv
    .command('get')
    .description('Prints the value of a key.')
    .argument('<store>', 'name of the store')
    .argument('<key>')
    .option('--entry', 'with its rev, and the time when it expires')
    .addOption(maxStaleness())
  define(
    get,
    surroundings,
    { examples: ['holdfast kv get users ada', 'holdfast kv get users ada --entry --json'], exits: lookupExits },
    async (run, store, key) => {
      const flags = get.opts<{ entry?: true; maxStaleness?: number }>()
      const entries = (await storeOf(run, store)).with({ maxStaleness: flags.maxStaleness })
      const entry = await entries.entry(key)
      if (entry === undefined) throw new HoldfastError('NOT_FOUND', `the store ${store} has no entry ${key}`)
      const value = toJson(entry.value)
      const whole = flags.entry === true
      run.output.result(whole ? entryJson(entry) : value, () =>
        whole ? entryLine(entry) : JSON.stringify(value, null, 2),
      )
    },
  )

  const watch = kv
    .command('watch')
    .description('Prints the committed changes of a store, or of one entry, in order, each once.')
    .argument('<store>', 'name of the store')
    .argument('[key]', 'one of its entries')
    .option('--prefix <text>', 'only keys that begin so')
    .option('--from <position>', '"now", "start" (all that is kept), or the cursor of a change that you had', 'now')
    .option('--limit <n>', 'ends after so many changes', parseCount)
  define(
    watch,
    surroundings,
    { examples: ['holdfast kv watch users', 'holdfast kv watch users ada --from start --limit 1'], exits: lookupExits },
    async (run, store, key) => {
      const { from, limit, prefix } = watch.opts<{ from: string; limit?: number; prefix?: string }>()
      if (key !== undefined && prefix !== undefined) throw oneOfBoth()
      const entries = await storeOf(run, store)
      await follow(run, entries.watch({ from, key, prefix }), limit)
    },
  )
}

function addWriting(kv: Command, surroundings: Surroundings): void {
  const put = writing(kv, 'put', 'Puts a value, whether there is one or not, and prints its rev.')
    .argument('<value>', inputHelp)
    .option('--if-absent', 'only where there is none; else exit code 5')
    .addOption(ttl())
  define(
    put,
    surroundings,
    {
      examples: [
        `holdfast kv put users ada '{"name":"Ada"}'`,
        `holdfast kv put sessions s1 '"open"' --ttl 30m --if-absent`,
      ],
      exits: writeExits,
    },
    async (run, store, key, given) => {
      const options = put.opts<{ ifAbsent?: true; ttl?: number; idempotencyKey?: string }>()
      const value = await inputOf(given, surroundings.stdin)
      const entries = await storeOf(run, store, options.idempotencyKey)
      const how = { ttl: options.ttl }
      const rev =
        options.ifAbsent === true ? await entries.putIfAbsent(key, value, how) : await entries.put(key, value, how)
      if (rev === undefined) throw new HoldfastError('CONFLICT', `the store ${store} has an entry ${key} already`)
      run.output.result({ rev }, `rev ${rev}`)
    },
  )

  const update = writing(kv, 'update', 'Replaces the value of an entry that has a certain rev, and prints the new one.')
    .argument('<value>', inputHelp)
    .requiredOption('--rev <n>', 'the rev that the entry has to have; else exit code 5', parseWhole)
    .addOption(ttl())
  define(
    update,
    surroundings,
    { examples: [`holdfast kv update users ada '{"name":"Ada L."}' --rev 1`], exits: writeExits },
    async (run, store, key, given) => {
      const options = update.opts<{ rev: number; ttl?: number; idempotencyKey?: string }>()
      const value = await inputOf(given, surroundings.stdin)
      const entries = await storeOf(run, store, options.idempotencyKey)
      const rev = await entries.update(key, value, { rev: options.rev, ttl: options.ttl })
      run.output.result({ rev }, `rev ${rev}`)
    },
  )

  const remove = writing(kv, 'delete', 'Deletes an entry; that there is none is no error.').option(
    '--rev <n>',
    'only if the entry has this rev; else exit code 5',
    parseWhole,
  )
  define(
    remove,
    surroundings,
    { examples: ['holdfast kv delete users ada', 'holdfast kv delete users ada --rev 2'], exits: writeExits },
    async (run, store, key) => {
      const { rev, idempotencyKey } = remove.opts<{ rev?: number; idempotencyKey?: string }>()
      const deleted = await (await storeOf(run, store, idempotencyKey)).delete(key, { rev })
      run.output.result({ deleted }, deleted ? 'deleted' : 'there was none')
    },
  )
}

const writing = (kv: Command, name: string, description: string): Command =>
  kv
    .command(name)
    .description(description)
    .argument('<store>', 'name of the store; it needs no declaration')
    .argument('<key>')
    .option('--idempotency-key <key>', 'the same key within 24 h is the same write, and gives the first result again')

function addRanges(kv: Command, surroundings: Surroundings): void {
  const bounded = (name: string, description: string) =>
    kv
      .command(name)
      .description(description)
      .argument('<store>', 'name of the store')
      .option('--from <key>', 'first key of the range')
      .option('--to <key>', 'first key behind the range')
      .addOption(new Option('--prefix <text>', 'keys that begin so').conflicts(['from', 'to']))

  const range = bounded(
    'range',
    "Prints the entries of a store in the order of their keys' bytes, as JSON lines with --json.",
  )
    .option('--reverse', 'from the last to the first')
    .option('--limit <n>', 'at most so many', parseWhole)
  define(
    range,
    surroundings,
    {
      examples: [
        'holdfast kv range users',
        'holdfast kv range users --from a --to n --limit 10',
        'holdfast kv range users --prefix a --reverse --json',
      ],
      exits: remoteExits,
    },
    async (run, store) => {
      const { prefix, ...options } = range.opts<{
        from?: string
        to?: string
        prefix?: string
        reverse?: true
        limit?: number
      }>()
      const entries = await storeOf(run, store)
      const found = prefix === undefined ? entries.range(options) : entries.prefix(prefix, options)
      for await (const entry of found) printEntry(run.output, entry)
    },
  )

  const count = bounded('count', 'Counts the entries of a store, or of a range of it.')
  define(
    count,
    surroundings,
    { examples: ['holdfast kv count users', 'holdfast kv count users --prefix a'], exits: remoteExits },
    async (run, store) => {
      const { prefix, ...bounds } = count.opts<{ from?: string; to?: string; prefix?: string }>()
      const n = await (await storeOf(run, store)).count(prefix === undefined ? bounds : { prefix })
      run.output.result(n, String(n))
    },
  )
}

async function storeOf(run: Run, name: string, idempotencyKey?: string): Promise<Kv<Value>> {
  const store = (await (await run.session()).client()).kv<Value>(name)
  return idempotencyKey === undefined ? store : store.with({ idempotencyKey })
}

const entryJson = ({ value, ...rest }: KvEntry<Value>): object => ({ ...rest, value: toJson(value) })

const printEntry = (output: Output, entry: KvEntry<Value>) => output.result(entryJson(entry), () => entryLine(entry))

function entryLine({ key, value, rev, expiresAt }: KvEntry<Value>): string {
  const until = expiresAt === undefined ? '' : `  until ${new Date(expiresAt).toISOString()}`
  return `${key}  rev ${rev}${until}  ${JSON.stringify(toJson(value))}`
}
