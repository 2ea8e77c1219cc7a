/** `dev`: a node for who is writing actors. */
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { join, relative, resolve } from 'node:path'
import type { Command } from 'commander'
import { DevSupervisor } from '../dev-supervisor.ts'
import { exitCodes } from '../exit-codes.ts'
import { parsePort } from '../parse.ts'
import { define, type Surroundings } from '../run.ts'
import { defaultServers, variablesOf } from '../settings.ts'
import { endSignal } from '../signals.ts'
import { HoldfastError } from '../../protocol/errors.ts'
import { suggestions } from '../suggestions.ts'
import { typesOf } from './node.ts'

const usualPort = Number(new URL(defaultServers).port)

export function addDev(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('dev')
    .description('Runs a node with the actors of a folder, and starts it again when a file changes; the data stays.')
    .argument('[folder]', 'of the project; its actors are in "actors" there, or in the folder itself', '.')
    .option(
      '--port <n>',
      `where NATS clients of this machine reach it (default ${usualPort}, or a free one)`,
      parsePort,
    )
  define(
    command,
    surroundings,
    {
      examples: ['holdfast dev', 'holdfast dev ./shop --port 4333', 'holdfast dev --servers nats://127.0.0.1:4222'],
      exits: [exitCodes.usage, exitCodes.conflict],
      more: 'Without --servers no server is needed: the whole cluster is in one process, which any NATS client of this machine reaches at the port. Its data is in ".holdfast" of the folder; remove that to begin anew. A file that cannot be loaded is named, and the next change tried.',
    },
    async (run, given) => {
      const folder = resolve(given)
      if (!existsSync(folder))
        throw new HoldfastError(
          'INVALID',
          `${given} is not there: give the folder of a project, or make one with "holdfast init"`,
        )
      const actors = existsSync(join(folder, 'actors')) ? join(folder, 'actors') : folder
      const { servers } = command.optsWithGlobals<{ servers?: string }>()
      const settings = run.settings()
      const onServers = servers !== undefined || Boolean(surroundings.env['HOLDFAST_SERVERS'])
      const port = onServers ? undefined : (command.opts<{ port?: number }>().port ?? (await freePort()))
      surroundings.goOnUnread()
      const end = endSignal(() => process.exit(exitCodes.failed))
      const supervisor = new DevSupervisor({
        folder,
        env: { ...surroundings.env, ...variablesOf(settings) },
        args: [
          ...['node', '--actors', actors, '--data', join(folder, '.holdfast'), '--quiet'],
          ...(port === undefined ? [] : ['--embedded', '--port', String(port)]),
          ...(run.output.json ? ['--json'] : []),
        ],
        onReady: (ready, times) => {
          run.output.result({ ...ready, type: 'dev.ready' }, () =>
            times === 1
              ? [`${typesOf(ready)} at ${ready.servers}, cluster ${ready.cluster}`, '', ...suggestions(ready), ''].join(
                  '\n',
                )
              : `ready: ${typesOf(ready)}`,
          )
        },
        onChange: (path) => {
          run.output.result({ type: 'dev.changed', path }, `${relative(folder, path)} has changed`)
        },
        onBroken: (code) => {
          run.output.result(
            { type: 'dev.broken', code },
            'the node does not run; the next change of a file starts it again',
          )
        },
      })
      try {
        await supervisor.run(end.signal)
      } finally {
        end.release()
      }
    },
  )
}

/** The usual one where it is free. It is found once, so that it stays the same over restarts. */
async function freePort(): Promise<number> {
  const tried = async (port: number) =>
    new Promise<number | undefined>((done) => {
      const server = createServer()
      server.once('error', () => done(undefined))
      server.listen(port, '127.0.0.1', () => {
        const address = server.address()
        server.close(() => done(typeof address === 'object' && address !== null ? address.port : undefined))
      })
    })
  return (await tried(usualPort)) ?? (await tried(0)) ?? 0
}
