/** The help of every command, and the exit codes. */
import { describe, expect, it } from 'vitest'
import { exitCodeOf, exitCodes } from '../../src/cli/exit-codes.ts'
import { errorCodes, HoldfastError } from '../../src/protocol/errors.ts'
import { commandsOf, programOnly } from './program-only.ts'

const commands = commandsOf(await programOnly())

async function helpOf(path: readonly string[]): Promise<string> {
  let help = ''
  const program = await programOnly((text) => (help += text))
  await program.parseAsync([...path, '--help'], { from: 'user' }).catch(() => {})
  return help
}

/** Words as a shell makes them, up to a pipe; quotes go. */
const wordsOf = (line: string): string[] =>
  [...(line.split(/ (?:\||&&|>) /)[0] ?? '').matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    (match) => match[1] ?? match[2] ?? match[3] ?? '',
  )

describe('the help of each command', () => {
  it('is there for all commands that are promised', () => {
    const names = commands.map(({ path }) => path.join(' '))
    const kv = ['get', 'put', 'delete', 'update', 'range', 'count', 'watch'].map((name) => `kv ${name}`)
    const others =
      'init dev node provision call tell query watch status partitions members move rebalance drain log doctor completion'
    expect(names).toEqual(expect.arrayContaining([...others.split(' '), ...kv, 'placement explain']))
  })

  it.each(commands.map(({ path }) => path))(
    '%s %s has a sentence, examples, exit codes and the global options',
    async (...path) => {
      const help = await helpOf(path.filter((word) => word !== undefined))
      expect(help).toMatch(/^[A-Z][^]*\.$/m)
      expect(help).toMatch(/Examples:\n {2}\$ .*holdfast/)
      expect(help).toMatch(/Exit codes:\n {2}0 {2}done\n/)
      expect(help).toMatch(/--servers/)
    },
  )

  it.each(commands.map(({ path }) => path.join(' ')))('%s: its examples are accepted', async (name) => {
    const path = name.split(' ')
    const help = await helpOf(path)
    const lines = [...help.matchAll(/^ {2}\$ (.*)$/gm)].map((match) => match[1]!)
    expect(lines).not.toEqual([])
    for (const line of lines) {
      const program = await programOnly()
      let ran: string | undefined
      for (const each of commandsOf(program)) each.command.action(() => void (ran = each.path.join(' ')))
      const inner = /\$\((.*)\)/.exec(line)?.[1] ?? line
      await program.parseAsync(wordsOf(inner).slice(1), { from: 'user' })
      expect(ran, line).toBe(name)
    }
  })

  it.each(commands.map(({ path }) => path[0]!))('%s is loaded where it is the first word', async (name) => {
    const alone = await programOnly(() => {}, [name])
    expect(alone.commands.map((command) => command.name())).toContain(name)
  })

  it('of the program says how secrets are given, and every exit code', async () => {
    const help = await helpOf([])
    expect(help).toMatch(/Give secrets by a variable or a file/)
    for (const code of Object.values(exitCodes)) expect(help).toMatch(new RegExp(`^ {2}${code} {2}\\S`, 'm'))
  })
})

describe('the exit code', () => {
  it('is one for each kind of error', () => {
    const codes = Object.fromEntries(errorCodes.map((code) => [code, exitCodeOf(new HoldfastError(code, 'x'))]))
    expect(codes).toEqual({
      RETRY: 3,
      TIMEOUT: 3,
      OVERLOADED: 3,
      FENCED: 3,
      UNKNOWN: 4,
      INVALID: 2,
      NOT_FOUND: 5,
      CONFLICT: 5,
      EXPIRED: 5,
      FAILED: 1,
      DEADLOCK: 1,
      INTERNAL: 6,
    })
  })

  it('of what is no error of ours is that of a bug', () => {
    expect(exitCodeOf(new TypeError('x'))).toBe(6)
    expect(exitCodeOf('x')).toBe(6)
  })
})
