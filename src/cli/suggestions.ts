/** What to try next against a node: lines of a shell that work as they are. */
import { relative } from 'node:path'
import { defaultCluster } from '../protocol/ids.ts'
import type { ReadyActor, ReadyMessage } from './commands/node.ts'
import { defaultServers } from './settings.ts'

export function suggestions({ servers, cluster, actors }: ReadyMessage): readonly string[] {
  const where = [
    ...(servers === defaultServers ? [] : ['--servers', servers]),
    ...(cluster === defaultCluster ? [] : ['--cluster', cluster]),
  ]
  const line = (...words: readonly string[]) => `  ${[program(), ...words, ...where].join(' ')}`
  const [first] = actors
  return [
    'Try in another terminal (inputs are JSON; Ctrl-C here ends the node):',
    ...(first === undefined
      ? []
      : [...callsOf(first).map((words) => line(...words)), line('watch', first.type, '--from', 'start')]),
    line('kv', 'put', 'users', 'ada', `'{"name":"Ada"}'`),
    line('status'),
  ]
}

function callsOf({ type, commands, queries }: ReadyActor): readonly (readonly string[])[] {
  const command = commands[0]
  const query = queries.find(({ takesInput }) => !takesInput)
  return [
    ...(command === undefined
      ? []
      : [['call', shellWord(type), 'c1', command.name, ...(command.takesInput ? ['1'] : [])]]),
    ...(query === undefined ? [] : [['query', shellWord(type), 'c1', query.name]]),
  ]
}

/** How this program was called. */
function program(): string {
  const path = process.argv[1] ?? ''
  if (path.endsWith('.ts')) return `npx tsx ${relative('.', path)}`
  return process.env['npm_command'] === undefined ? 'holdfast' : 'npx holdfast'
}

const shellWord = (text: string) => (/^[\w.-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)
