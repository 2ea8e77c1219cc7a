/** The syntax tree of a TypeScript file, as much of it as the rules about source code need. */
import { parseSync, visitorKeys, type Node } from 'oxc-parser'

export type { Node }

export interface SourceFile {
  /** From the root of the repository, with `/`. */
  readonly path: string
  readonly text: string
}

/** Where a node stands: the field of its parent that holds it. */
export interface Place {
  readonly node: Node
  readonly parent: Node | null
  readonly field: string
}

/** Visits each node of the file before its children; leaves out those of a node for which `visit` returns 'skip'. */
export function walk({ path, text }: SourceFile, visit: (place: Place) => 'skip' | 'descend'): void {
  const { program, errors } = parseSync(path, text, { lang: 'ts', sourceType: 'module' })
  if (errors.length > 0) throw new SyntaxError(`${path}: ${errors[0]?.message}`)
  const descend = (place: Place): void => {
    if (visit(place) === 'skip') return
    for (const field of visitorKeys[place.node.type] ?? []) {
      const value: unknown = Reflect.get(place.node, field)
      for (const child of Array.isArray(value) ? (value as unknown[]) : [value]) {
        if (isNode(child)) descend({ node: child, parent: place.node, field })
      }
    }
  }
  descend({ node: program, parent: null, field: '' })
}

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && 'type' in value

export interface Import {
  readonly specifier: string
  /** Imported names; `null` where it is the whole module, or something computed. */
  readonly names: readonly string[] | null
  readonly offset: number
}

/** Every way in which a file can name another module, types included. */
export function importsOf(file: SourceFile): readonly Import[] {
  const imports: Import[] = []
  const add = (source: unknown, names: readonly string[] | null, offset: number) => {
    const specifier =
      isNode(source) && source.type === 'Literal' && typeof source.value === 'string' ? source.value : null
    imports.push({ specifier: specifier ?? '(computed)', names, offset })
  }
  walk(file, ({ node }) => {
    switch (node.type) {
      case 'ImportDeclaration': {
        const names = node.specifiers.map((each) => (each.type === 'ImportSpecifier' ? nameOf(each.imported) : null))
        add(node.source, names.includes(null) ? null : names.filter((name) => name !== null), node.start)
        break
      }
      case 'ExportNamedDeclaration':
        if (node.source)
          add(
            node.source,
            node.specifiers.map((each) => nameOf(each.local)),
            node.start,
          )
        break
      case 'ExportAllDeclaration':
      case 'ImportExpression':
      case 'TSImportType':
        add(node.source, null, node.start)
        break
      case 'TSExternalModuleReference':
        add(node.expression, null, node.start)
        break
      case 'CallExpression':
        if (node.callee.type === 'Identifier' && node.callee.name === 'require')
          add(node.arguments[0], null, node.start)
        break
      default:
    }
    return 'descend'
  })
  return imports
}

/** `name`, `'name'`, or `default`. */
const nameOf = (name: Node): string =>
  name.type === 'Identifier' ? name.name : name.type === 'Literal' ? String(name.value) : ''

export const lineOf = ({ text }: SourceFile, offset: number): number => text.slice(0, offset).split('\n').length
