/** The program: all commands and what they share. */
import { Command } from 'commander'
import { version } from '../version.ts'
import { addCalls } from './commands/call.ts'
import { addCompletion } from './commands/completion.ts'
import { addDev } from './commands/dev.ts'
import { addDoctor } from './commands/doctor.ts'
import { addDrain } from './commands/drain.ts'
import { addInit } from './commands/init.ts'
import { addKv } from './commands/kv.ts'
import { addLog } from './commands/log.ts'
import { addMove } from './commands/move.ts'
import { addNode } from './commands/node.ts'
import { addPlacement } from './commands/placement.ts'
import { addProvision } from './commands/provision.ts'
import { addRecover } from './commands/recover.ts'
import { addRestore } from './commands/restore.ts'
import { addSnapshot } from './commands/snapshot.ts'
import { addStatus } from './commands/status.ts'
import { addVerify } from './commands/verify.ts'
import { addWatch } from './commands/watch.ts'
import { exitCodes, exitHelp } from './exit-codes.ts'
import type { Surroundings } from './run.ts'
import { addGlobalOptions } from './settings.ts'

const variables = `Each option of the connection has a variable: HOLDFAST_SERVERS, HOLDFAST_CLUSTER, HOLDFAST_USER, HOLDFAST_PASSWORD,
HOLDFAST_TOKEN, HOLDFAST_NKEY_FILE, HOLDFAST_CREDS_FILE, HOLDFAST_TLS_CA, HOLDFAST_TLS_CERT, HOLDFAST_TLS_KEY,
HOLDFAST_INBOX_PREFIX. Options win. Give secrets by a variable or a file: arguments are seen by others.`

export function createProgram(surroundings: Surroundings): Command {
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
  addInit(program, surroundings)
  addDev(program, surroundings)
  addNode(program, surroundings)
  addProvision(program, surroundings)
  addCalls(program, surroundings)
  addWatch(program, surroundings)
  addKv(program, surroundings)
  addStatus(program, surroundings)
  addPlacement(program, surroundings)
  addMove(program, surroundings)
  addDrain(program, surroundings)
  addLog(program, surroundings)
  addSnapshot(program, surroundings)
  addVerify(program, surroundings)
  addRestore(program, surroundings)
  addRecover(program, surroundings)
  addDoctor(program, surroundings)
  addCompletion(program, surroundings)
  program.addHelpText('after', `\n${variables}\n\n${exitHelp(Object.values(exitCodes))}`)
  return program
}
