/** A Dockerfile as a list of instructions: comments gone, continued lines joined. */

export interface Instruction {
  readonly name: string
  readonly text: string
}

export interface Stage {
  /** Without those before the first `FROM`. */
  readonly instructions: readonly Instruction[]
}

export function stagesOf(text: string): readonly Stage[] {
  const lines = text
    .replaceAll(/^\s*#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '')
  const stages: Instruction[][] = []
  for (const line of lines) {
    const [, name = '', rest = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? []
    if (name === '') throw new Error(`no instruction: ${line}`)
    if (name === 'FROM') stages.push([])
    stages.at(-1)?.push({ name, text: rest })
  }
  return stages.map((instructions) => ({ instructions }))
}

/** The texts of all instructions of that name. */
export const textsOf = ({ instructions }: Stage, name: string): readonly string[] =>
  instructions.filter((each) => each.name === name).map(({ text }) => text)

/** What is copied from the folder that is built, from all stages. */
export const copiedFrom = (stages: readonly Stage[]): readonly string[] =>
  stages
    .flatMap((stage) => textsOf(stage, 'COPY'))
    .filter((text) => !text.startsWith('--from='))
    .flatMap((text) => text.split(/\s+/).slice(0, -1))

/** The words of the exec form. */
export const wordsIn = (text: string | undefined): readonly string[] => JSON.parse(text ?? '[]') as string[]
