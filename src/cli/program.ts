/**
 * The program: all commands and what they share.
 *
 * Loading what all commands are made of takes longer than most of them run. So where the first word is the name of a command that one alone is
 * loaded; where it is anything else, such as an option or a name that there is not, all are.
 */
import { Command } from 'commander'
import { version } from '../version.ts'
import { addCompletion } from './commands/completion.ts'
import { exitCodes, exitHelp } from './exit-codes.ts'
import type { Surroundings } from './run.ts'
import { addGlobalOptions } from './settings.ts'

const variables = `Each option of the connection has a variable: HOLDFAST_SERVERS, HOLDFAST_CLUSTER, HOLDFAST_USER, HOLDFAST_PASSWORD,
HOLDFAST_TOKEN, HOLDFAST_NKEY_FILE, HOLDFAST_CREDS_FILE, HOLDFAST_TLS_CA, HOLDFAST_TLS_CERT, HOLDFAST_TLS_KEY,
HOLDFAST_INBOX_PREFIX. Options win. Give secrets by a variable or a file: arguments are seen by others.`

type AddCommands = (program: Command, surroundings: Surroundings) => void

interface Part {
  readonly names: readonly string[]
  readonly load: () => Promise<AddCommands>
}

/** In the order of the help. */
const parts: readonly Part[] = [
  { names: ['init'], load: async () => (await import('./commands/init.ts')).addInit },
  { names: ['dev'], load: async () => (await import('./commands/dev.ts')).addDev },
  { names: ['node'], load: async () => (await import('./commands/node.ts')).addNode },
  { names: ['provision'], load: async () => (await import('./commands/provision.ts')).addProvision },
  { names: ['call', 'tell', 'query'], load: async () => (await import('./commands/call.ts')).addCalls },
  { names: ['watch'], load: async () => (await import('./commands/watch.ts')).addWatch },
  { names: ['kv'], load: async () => (await import('./commands/kv.ts')).addKv },
  { names: ['status', 'members', 'partitions'], load: async () => (await import('./commands/status.ts')).addStatus },
  { names: ['placement', 'rebalance'], load: async () => (await import('./commands/placement.ts')).addPlacement },
  { names: ['move'], load: async () => (await import('./commands/move.ts')).addMove },
  { names: ['drain'], load: async () => (await import('./commands/drain.ts')).addDrain },
  { names: ['log'], load: async () => (await import('./commands/log.ts')).addLog },
  { names: ['snapshot'], load: async () => (await import('./commands/snapshot.ts')).addSnapshot },
  { names: ['verify'], load: async () => (await import('./commands/verify.ts')).addVerify },
  { names: ['restore'], load: async () => (await import('./commands/restore.ts')).addRestore },
  { names: ['recover'], load: async () => (await import('./commands/recover.ts')).addRecover },
  { names: ['doctor'], load: async () => (await import('./commands/doctor.ts')).addDoctor },
]

/** The program for a run with these words. */
export async function createProgram(
  surroundings: Surroundings,
  [first = '']: readonly string[] = [],
): Promise<Command> {
  const program = new Command('holdfast')
    .description(
      'Durable keyed actors and a partitioned store over NATS: run nodes, call actors, look after a cluster.',
    )
    .version(version)
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void surroundings.stdout.write(text),
      // What is wrong is said once, by main.ts.
      writeErr: () => {},
    })
  addGlobalOptions(program)
  const alone = parts.filter(({ names }) => names.includes(first))
  const loaded = await Promise.all((alone.length > 0 ? alone : parts).map(({ load }) => load()))
  for (const add of loaded) add(program, surroundings)
  if (alone.length === 0) addCompletion(program, surroundings)
  program.addHelpText('after', `\n${variables}\n\n${exitHelp(Object.values(exitCodes))}`)
  return program
}
