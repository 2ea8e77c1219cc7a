/** What the files of deploy/ say to the program, judged by the program itself: its commands, and the variables that nodes know. */
import { settingsFromEnvironment, unknownVariables } from '../../src/node/environment.ts'
import { commandsOf, programOnly } from '../cli/program-only.ts'

/** Words as a shell makes them, of its first simple command. */
export const wordsOf = (line: string): string[] =>
  Array.from((line.split(/ (?:\||&&|>) /)[0] ?? '').matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g), (match) => {
    return match[1] ?? match[2] ?? match[3] ?? ''
  })

export interface Accepted {
  readonly command: string
  readonly options: Readonly<Record<string, unknown>>
}

/** The command that these words run, and its options; rejects if the program does not take them. */
export async function accepted(words: readonly string[]): Promise<Accepted> {
  const program = await programOnly()
  let ran: Accepted | undefined
  for (const { command, path } of commandsOf(program)) {
    command.action(() => void (ran = { command: path.join(' '), options: command.optsWithGlobals() }))
  }
  await program.parseAsync([...words], { from: 'user' })
  if (ran === undefined) throw new Error(`"${words.join(' ')}" runs nothing`)
  return ran
}

/** Does `holdfast node` of this version answer probes? Then HOLDFAST_HTTP is its variable. */
export const answersProbes = commandsOf(await programOnly())
  .filter(({ path }) => path.join() === 'node')
  .some(({ command }) => command.options.some(({ long }) => long === '--http'))

/** Variables that a node or the program would ignore; throws for a number that is none. */
export function ignored(env: Readonly<Record<string, string>>): readonly string[] {
  settingsFromEnvironment(env)
  const unknown = unknownVariables(env).map(({ variable }) => variable)
  return answersProbes ? unknown : unknown.filter((variable) => variable !== 'HOLDFAST_HTTP')
}
