/** `completion`: a script for the user's shell. */
import { Argument, type Command } from 'commander'
import { completionScript, shells, type Shell } from '../completion.ts'
import { exitCodes } from '../exit-codes.ts'
import { define, type Surroundings } from '../run.ts'

export function addCompletion(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('completion')
    .description('Prints a script that completes commands and options in your shell.')
    .addArgument(new Argument('<shell>', 'which one').choices(shells))
  define(
    command,
    surroundings,
    {
      examples: [
        'eval "$(holdfast completion bash)"',
        'eval "$(holdfast completion zsh)"',
        'holdfast completion fish > ~/.config/fish/completions/holdfast.fish',
      ],
      exits: [exitCodes.usage],
    },
    (run, shell) => {
      const script = completionScript(program, shell as Shell)
      return Promise.resolve(run.output.result(script, script.trimEnd()))
    },
  )
}
