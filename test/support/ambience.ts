/**
 * Ambient time, chance and output: what only adapters may touch, because whatever else does cannot run on a virtual clock and
 * a seeded random, and so cannot be simulated.
 *
 * A1. A forbidden name is found wherever it stands as a value, whatever is done with it: called, passed on, renamed.
 * A2. Names in types, property names and members of other objects (`clock.setTimeout`) are no such use.
 * A3. A `Date` of something (`new Date(ms)`), its class (`instanceof Date`) and its pure functions are allowed; the present
 *     time is not.
 * A4. There is no way round: not by globalThis, not by the modules of Node.js.
 */
import { importsOf, lineOf, walk, type Node, type Place, type SourceFile } from './syntax.ts'

const forbiddenGlobals = new Set([
  ...['performance', 'crypto', 'console', 'Temporal', 'global'],
  ...['setTimeout', 'setInterval', 'setImmediate', 'clearTimeout', 'clearInterval', 'clearImmediate'],
])

const forbiddenMembers = new Map([
  ['Math', ['random']],
  ['AbortSignal', ['timeout']],
  ['process', ['hrtime', 'uptime']],
])

/** What may be done with Date itself. */
const pureDateMembers = ['UTC', 'parse', 'prototype']

const forbiddenModules = ['node:timers', 'node:timers/promises', 'node:perf_hooks', 'node:console', 'node:process']

/** The functions of node:crypto; all else there draws on chance. */
const pureCrypto = ['createHash', 'createHmac', 'hash', 'timingSafeEqual', 'Hash', 'Hmac', 'BinaryLike']

/** Nodes of TypeScript that hold an expression; all its others hold types. */
const valueNodes = [
  'TSAsExpression',
  'TSSatisfiesExpression',
  'TSNonNullExpression',
  'TSInstantiationExpression',
  'TSExportAssignment',
]

/** What a file takes from its surroundings without being given it, a sentence each. */
export function ambientFindings(file: SourceFile): readonly string[] {
  const findings: string[] = []
  const found = (what: string, offset: number) => findings.push(`${file.path}:${lineOf(file, offset)}: ${what}`)

  for (const { specifier, names, offset } of importsOf(file)) {
    if (forbiddenModules.includes(specifier)) found(`imports ${specifier}`, offset)
    if (specifier !== 'node:crypto') continue
    if (names === null) found('imports all of node:crypto', offset)
    for (const name of names ?? []) if (!pureCrypto.includes(name)) found(`imports ${name} of node:crypto`, offset)
  }
  walk(file, (place) => {
    const { node } = place
    if (node.type.startsWith('TS') && !valueNodes.includes(node.type)) return 'skip'
    if (node.type === 'ImportDeclaration') return 'skip'
    const what = node.type === 'Identifier' && !isMereName(place) ? ambientUse(node.name, place) : undefined
    if (what !== undefined) found(what, node.start)
    return 'descend'
  })
  return findings
}

/** Is it the name of a property or of an export, and not a variable? */
function isMereName({ parent, field }: Place): boolean {
  if (parent === null) return false
  switch (parent.type) {
    case 'MemberExpression':
      return field === 'property' && !parent.computed
    case 'Property':
    case 'MethodDefinition':
    case 'PropertyDefinition':
    case 'AccessorProperty':
      return field === 'key' && !parent.computed
    case 'ExportSpecifier':
      return field === 'exported'
    default:
      return false
  }
}

function ambientUse(name: string, { node, parent }: Place): string | undefined {
  if (forbiddenGlobals.has(name)) return name
  const member = memberOf(node, parent)
  const members = forbiddenMembers.get(name)
  if (members !== undefined) {
    // As a whole it could be asked for anything later; `process` is asked for much else.
    if (member === undefined) return name === 'process' ? undefined : `${name} as a whole`
    return members.includes(member) ? `${name}.${member}` : undefined
  }
  if (name === 'globalThis') {
    if (member === undefined) return 'globalThis as a whole'
    return forbiddenGlobals.has(member) || forbiddenMembers.has(member) || member === 'Date'
      ? `globalThis.${member}`
      : undefined
  }
  if (name === 'Date' && !isPureDate(node, parent)) return 'Date, other than of a given time'
  return undefined
}

/** The `b` of `a.b` for the node `a`; undefined where it is anything else, also `a[b]`. */
function memberOf(node: Node, parent: Node | null): string | undefined {
  if (parent?.type !== 'MemberExpression' || parent.object !== node || parent.computed) return undefined
  return parent.property.type === 'Identifier' ? parent.property.name : undefined
}

function isPureDate(node: Node, parent: Node | null): boolean {
  if (parent?.type === 'NewExpression') return parent.callee === node && isGiven(parent.arguments[0])
  if (parent?.type === 'BinaryExpression') return parent.operator === 'instanceof' && parent.right === node
  const member = memberOf(node, parent)
  return member !== undefined && pureDateMembers.includes(member)
}

/** A spread may turn out to be nothing. */
const isGiven = (argument: Node | undefined) => argument !== undefined && argument.type !== 'SpreadElement'
