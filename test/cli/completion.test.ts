/** The scripts of `completion`: that of bash is run by bash; zsh and fish check theirs where they are installed. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { completionScript, shells } from '../../src/cli/completion.ts'
import { programOnly } from './program-only.ts'

const script = completionScript(await programOnly(), 'bash')

/** What bash offers for a line; the last word is the one that is being written. */
function offered(line: string): string[] {
  const words = line.split(' ')
  const question = `
${script}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')})
COMP_CWORD=${words.length - 1}
_holdfast
printf '%s\\n' "\${COMPREPLY[@]}"`
  const { stdout, stderr, status } = spawnSync('bash', ['--norc', '-c', question], { encoding: 'utf8', cwd: '/' })
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 })
  return stdout.split('\n').filter((word) => word !== '')
}

describe('completion for bash', () => {
  it('offers the commands, and those that begin as the word does', () => {
    expect(offered('holdfast ')).toEqual(
      expect.arrayContaining(['init', 'dev', 'node', 'call', 'kv', 'doctor', 'completion']),
    )
    expect(offered('holdfast d')).toEqual(['dev', 'drain', 'doctor'])
    expect(offered('holdfast x')).toEqual([])
  })

  it('offers subcommands, also behind global options and their values', () => {
    expect(offered('holdfast kv ')).toEqual(['get', 'watch', 'put', 'update', 'delete', 'range', 'count'])
    expect(offered('holdfast --cluster kv kv c')).toEqual(['count'])
    expect(offered('holdfast placement ')).toEqual(['explain'])
    // A value that is called as a command is.
    expect(offered('holdfast --cluster kv st')).toEqual(['status'])
    expect(offered('holdfast --json kv --servers x r')).toEqual(['range'])
  })

  it('offers the options of the command, and the global ones', () => {
    expect(offered('holdfast kv range --p')).toEqual(['--prefix', '--password'])
    expect(offered('holdfast watch users --l')).toEqual(['--limit'])
    expect(offered('holdfast status --js')).toEqual(['--json'])
    expect(offered('holdfast status --l')).toEqual([])
    expect(offered('holdfast kv get users --e')).toEqual(['--entry'])
    expect(offered('holdfast move 3 --w')).toEqual(['--wait'])
    expect(offered('holdfast rebalance --d')).toEqual(['--dry-run'])
  })

  it('offers choices, files and folders where they belong, and nothing for other values', () => {
    expect(offered('holdfast completion ')).toEqual([...shells])
    expect(offered('holdfast --creds /et')).toEqual(['/etc'])
    expect(offered('holdfast node --actors /et')).toEqual(['/etc'])
    expect(offered('holdfast init /et')).toEqual(['/etc'])
    expect(offered('holdfast --cluster ')).toEqual([])
    expect(offered('holdfast call ')).toEqual([])
    expect(offered('holdfast move 3 --to ')).toEqual([])
  })

  it('is registered for the program', () => {
    const { stdout } = spawnSync('bash', ['--norc', '-c', `${script}\ncomplete -p holdfast`], { encoding: 'utf8' })
    expect(stdout).toBe('complete -F _holdfast holdfast\n')
  })
})

describe.each(['zsh', 'fish'] as const)('completion for %s', async (shell) => {
  const text = completionScript(await programOnly(), shell)
  const installed = spawnSync(shell, ['--version']).status === 0

  it('names every command and option', () => {
    for (const word of ['completion', 'partitions', 'range', 'doctor']) expect(text).toContain(word)
    for (const option of ['servers', 'tls-ca', 'if-absent', 'idempotency-key']) expect(text).toContain(option)
  })

  it('has its quotes and brackets in pairs', () => {
    // What stands between quotes goes first, and of what is left each bracket has its partner.
    const bare = text
      .replaceAll(/^#.*$/gm, '')
      .replaceAll(/\\'/g, '')
      .replaceAll(/'[^']*'/g, '')
      .replaceAll(/"[^"]*"/g, '')
    expect(bare).not.toMatch(/['"]/)
    expect(bare.match(/\{/g)?.length ?? 0).toBe(bare.match(/\}/g)?.length ?? 0)
  })

  // On a machine without it there is nothing to run it by.
  const where = installed ? it : undefined
  where?.('is what the shell can read', () => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-completion-'))
    try {
      const file = join(folder, `holdfast.${shell}`)
      writeFileSync(file, text)
      const { status, stderr } = spawnSync(shell, ['-n', file], { encoding: 'utf8' })
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
