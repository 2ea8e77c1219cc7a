/**
 * Completion of the command line for bash, zsh and fish, made from the commands themselves.
 *
 * CP1. A script completes the names of commands at their place, the options of the command before the cursor and the global ones, and the
 *     files of options that take one. Names of actors and keys are the cluster's, and are not asked for.
 * CP2. Nothing of a user's input is evaluated.
 */
import type { Argument, Command, Option } from 'commander'

export const shells = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof shells)[number]

interface Node {
  /** Words from the program's name on, joined by a space; '' for the program itself. */
  readonly path: string
  readonly commands: readonly { readonly name: string; readonly description: string }[]
  readonly options: readonly Option[]
  readonly arguments: readonly Argument[]
}

export function completionScript(program: Command, shell: Shell): string {
  const nodes = nodesOf(program, '')
  return { bash, zsh, fish }[shell](nodes)
}

function nodesOf(command: Command, path: string): readonly Node[] {
  const commands = command.commands.filter((each) => each.name() !== 'help')
  const own: Node = {
    path,
    commands: commands.map((each) => ({ name: each.name(), description: each.description() })),
    options: command.options,
    arguments: command.registeredArguments,
  }
  return [own, ...commands.flatMap((each) => nodesOf(each, `${path} ${each.name()}`.trim()))]
}

const longOf = ({ long }: Option): string => long ?? ''
const takesValue = ({ required, optional }: Option): boolean => required || optional
const takesFile = ({ flags }: Option): boolean => /<(?:file|folder|paths\.\.\.)>/.test(flags)

function bash(nodes: readonly Node[]): string {
  const [program] = nodes as [Node, ...Node[]]
  const all = nodes.flatMap(({ options }) => options)
  const values = [...new Set(all.filter(takesValue).map(longOf))]
  const files = [...new Set(all.filter(takesFile).map(longOf))]
  const globals = program.options.map(longOf)
  const cases = nodes.map(({ path, commands, options, arguments: args }) => {
    const words = [...commands.map(({ name }) => name), ...args.flatMap(({ argChoices }) => argChoices ?? [])]
    const own = [...new Set([...options.map(longOf), ...globals, '--help'])]
    const takesFolder = args.some((argument) => argument.name() === 'folder')
    return `    ${quoted(path)}) words=${quoted(words.join(' '))} options=${quoted(own.join(' '))} folder=${takesFolder ? 1 : 0} ;;`
  })
  const paths = nodes.filter(({ path }) => path !== '').map(({ path }) => quoted(path))
  return `# Completion of holdfast for bash: add to ~/.bashrc
#   eval "$(holdfast completion bash)"
_holdfast() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} path= word next i words options folder
  case $prev in
    ${files.join('|')}) COMPREPLY=($(compgen -f -- "$cur")); return ;;
    ${values.join('|')}) COMPREPLY=(); return ;;
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    case $word in
      ${values.join('|')}) ((i++)); continue ;;
      -*) continue ;;
    esac
    next="\${path:+$path }$word"
    case $next in
      ${paths.join('|')}) path=$next ;;
      *) break ;;
    esac
  done
  case $path in
${cases.join('\n')}
  esac
  if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "$options" -- "$cur"))
  elif [[ $folder == 1 ]]; then COMPREPLY=($(compgen -d -- "$cur"))
  else COMPREPLY=($(compgen -W "$words" -- "$cur"))
  fi
}
complete -F _holdfast holdfast
`
}

function zsh(nodes: readonly Node[]): string {
  const [program] = nodes as [Node, ...Node[]]
  const optionSpec = (option: Option) => {
    const description = option.description.replaceAll(/[[\]:\\]/g, '\\$&')
    const value = takesFile(option) ? ':file:_files' : takesValue(option) ? ':value:' : ''
    return quoted(`${longOf(option)}[${description}]${value}`)
  }
  const functions = nodes.map(({ path, commands, options, arguments: args }) => {
    const specs = [...new Set([...options, ...program.options].map(optionSpec))]
    const lines =
      commands.length > 0
        ? [...specs, `'1: :->command'`, `'*:: :->rest'`]
        : [...specs, ...args.map(({ argChoices }, i) => argumentSpec(i + 1, argChoices))]
    const names = commands.map(({ name, description }) => quoted(`${name}:${description.replaceAll(':', '\\:')}`))
    const dispatch =
      commands.length === 0
        ? ''
        : `
  case $state in
    command) local -a commands=(${names.join(' ')}); _describe command commands ;;
    rest) case $words[1] in ${commands.map(({ name }) => `${name}) ${functionOf(`${path} ${name}`.trim())} ;;`).join(' ')} esac ;;
  esac`
    return `${functionOf(path)}() {
  local state line
  local -a words_before=($words)
  _arguments -C ${lines.join(' ')}${dispatch}
}`
  })
  return `#compdef holdfast
# Completion of holdfast for zsh: write it to a file _holdfast in a folder of $fpath, or add to ~/.zshrc
#   eval "$(holdfast completion zsh)"
${functions.join('\n')}
if [ "\${funcstack[1]}" = "_holdfast" ]; then _holdfast "$@"; else compdef _holdfast holdfast; fi
`
}

const functionOf = (path: string): string => `_holdfast${path === '' ? '' : `_${path.replaceAll(/[^a-z]+/g, '_')}`}`

const argumentSpec = (at: number, choices: readonly string[] | undefined): string =>
  quoted(choices === undefined ? `${at}: : ` : `${at}: :(${choices.join(' ')})`)

function fish(nodes: readonly Node[]): string {
  const [program] = nodes as [Node, ...Node[]]
  const lines = nodes.flatMap(({ path, commands, options, arguments: args }) => {
    const seen = path.split(' ').filter((word) => word !== '')
    const inside = seen.map((word) => `__fish_seen_subcommand_from ${word}`)
    const outside = commands.map(({ name }) => name)
    const here = [...inside, ...(outside.length === 0 ? [] : [`not __fish_seen_subcommand_from ${outside.join(' ')}`])]
    const condition = here.length === 0 ? '' : ` -n ${quoted(here.join('; and '))}`
    const choices = args.flatMap(({ argChoices }) => argChoices ?? [])
    return [
      ...commands.map(
        ({ name, description }) => `complete -c holdfast -f${condition} -a ${name} -d ${quoted(description)}`,
      ),
      ...choices.map((choice) => `complete -c holdfast -f${condition} -a ${choice}`),
      ...(path === '' ? [] : options.map((option) => fishOption(option, inside.join('; and ')))),
    ]
  })
  const globals = program.options.map((option) => fishOption(option, ''))
  return `# Completion of holdfast for fish: write it to ~/.config/fish/completions/holdfast.fish
${[...lines, ...globals].join('\n')}
`
}

function fishOption(option: Option, condition: string): string {
  const value = takesFile(option) ? ' -r -F' : takesValue(option) ? ' -x' : ''
  const when = condition === '' ? '' : ` -n ${quoted(condition)}`
  return `complete -c holdfast${when} -l ${longOf(option).slice(2)}${value} -d ${quoted(option.description)}`
}

/** As a word of any of these shells. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`
