/** `init`: a project to begin with. */
import { lstat, mkdir, writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import type { Command } from 'commander'
import { HoldfastError, messageOf } from '../../protocol/errors.ts'
import { version } from '../../version.ts'
import { exitCodes } from '../exit-codes.ts'
import { projectFiles } from '../project-files.ts'
import { define, type Surroundings } from '../run.ts'

export function addInit(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('init')
    .description('Writes a small project that runs: an actor, package.json, tsconfig.json, README.')
    .argument('[folder]', 'created if it is not there', '.')
  define(
    command,
    surroundings,
    {
      examples: ['holdfast init shop && cd shop && npm install && npx holdfast dev'],
      exits: [exitCodes.usage, exitCodes.conflict],
      more: 'It overwrites nothing: where one of its files is there already it writes none.',
    },
    async (run, folder) => {
      const root = resolve(folder)
      const files = projectFiles(packageName(basename(root)), version)
      const there: string[] = []
      for (const { path } of files) if (await exists(join(root, path))) there.push(path)
      if (there.length > 0) {
        throw new HoldfastError(
          'CONFLICT',
          `${folder} has ${there.join(', ')} already, and nothing was written: choose another folder`,
        )
      }
      try {
        for (const { path, text } of files) {
          await mkdir(dirname(join(root, path)), { recursive: true })
          await writeFile(join(root, path), text, { flag: 'wx' })
        }
      } catch (cause) {
        throw new HoldfastError('INVALID', `${folder} cannot be written (${messageOf(cause)}): choose another folder`, {
          cause,
        })
      }
      const paths = files.map(({ path }) => path)
      const steps = [...(folder === '.' ? [] : [`cd ${folder}`]), 'npm install', 'npx holdfast dev']
      run.output.result({ folder: root, files: paths }, () =>
        [...paths.map((path) => `wrote ${join(folder, path)}`), '', 'Next:', ...steps.map((step) => `  ${step}`)].join(
          '\n',
        ),
      )
    },
  )
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false
      throw new HoldfastError('INVALID', `${path} cannot be written (${error.code}): choose another folder`, {
        cause: error,
      })
    },
  )
}

/** npm is particular about names. */
function packageName(folder: string): string {
  const name = folder
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
  return name === '' ? 'holdfast-project' : name
}
