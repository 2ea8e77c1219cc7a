/**
 * The layers of the source, and which may import which.
 *
 * Y1. Imports run one way: protocol ← core ← ports ← behaviour ← partition ← task ← actors. The client stands beside the partition, and
 *     so do membership and placement; of these, placement knows membership, and else none knows another.
 * Y2. Adapters know ports, protocol and the pure core, never what is built on them.
 * Y3. Only composition roots import adapters, and nothing but a root imports a root.
 *     The checkers of histories know the protocol and the core alone.
 * Y4. I/O packages and the I/O modules of Node.js are for adapters and roots; core and protocol are pure.
 * Y5. Every file has a layer.
 */
import { posix } from 'node:path'
import { importsOf, lineOf, type SourceFile } from './syntax.ts'

interface Layer {
  readonly name: string
  readonly files: RegExp
  /** Besides itself. `all`: whatever there is. */
  readonly layers: readonly string[] | 'all'
  readonly packages: readonly string[] | 'all'
}

// A file is in the first layer that fits.
const layers: readonly Layer[] = [
  // Checks of what a run has left behind, for tests and for users; they know nothing of how it came about.
  { name: 'check', files: /^src\/testing\/check\//, layers: ['protocol', 'core'], packages: [] },
  // Here parts are put together: the package's entry points, connect(), createNode(), the command line, the test cluster.
  {
    name: 'root',
    files: /^src\/([^/]+\.ts$|client\/(index|connect)\.ts$|(cli|node|testing)\/)/,
    layers: 'all',
    packages: 'all',
  },
  { name: 'protocol', files: /^src\/protocol\//, layers: [], packages: ['msgpackr'] },
  { name: 'core', files: /^src\/core\//, layers: ['protocol'], packages: [] },
  { name: 'ports', files: /^src\/ports\//, layers: ['protocol', 'core'], packages: [] },
  { name: 'adapters', files: /^src\/adapters\//, layers: ['protocol', 'core', 'ports'], packages: 'all' },
  {
    name: 'behaviour',
    files: /^src\/behaviour\//,
    layers: ['protocol', 'core', 'ports'],
    packages: ['xstate', '@standard-schema/spec'],
  },
  { name: 'client', files: /^src\/client\//, layers: ['protocol', 'core', 'ports', 'behaviour'], packages: [] },
  {
    name: 'partition',
    files: /^src\/partition\//,
    layers: ['protocol', 'core', 'ports', 'behaviour'],
    packages: ['msgpackr', 'xstate'],
  },
  {
    name: 'task',
    files: /^src\/task\//,
    layers: ['protocol', 'core', 'ports', 'behaviour', 'partition'],
    packages: [],
  },
  { name: 'membership', files: /^src\/membership\//, layers: ['protocol', 'core', 'ports'], packages: [] },
  {
    name: 'placement',
    files: /^src\/placement\//,
    layers: ['protocol', 'core', 'ports', 'membership'],
    packages: [],
  },
  {
    name: 'actors',
    files: /^actors\//,
    layers: ['protocol', 'core', 'ports', 'behaviour', 'client', 'partition', 'task', 'membership', 'placement'],
    packages: ['xstate'],
  },
]

/** Functions and data structures, no I/O. */
const pureModules = ['assert', 'assert/strict', 'async_hooks', 'buffer', 'crypto', 'events', 'util']

/** What is wrong with the imports of a file, a sentence each. */
export function layeringFindings(file: SourceFile): readonly string[] {
  const own = layerOf(file.path)
  if (own === undefined) return [`${file.path}: belongs to no layer`]
  return importsOf(file).flatMap(({ specifier, offset }) => {
    const wrong = wrongImport(own, file.path, specifier)
    return wrong === undefined ? [] : [`${file.path}:${lineOf(file, offset)}: ${own.name} may not import ${wrong}`]
  })
}

const layerOf = (path: string): Layer | undefined => layers.find(({ files }) => files.test(path))

function wrongImport(own: Layer, path: string, specifier: string): string | undefined {
  if (specifier.startsWith('.')) {
    const target = posix.join(posix.dirname(path), specifier)
    const layer = layerOf(target)
    if (layer === undefined) return `${target}, which belongs to no layer`
    const allowed = own.layers === 'all' || layer.name === own.name || own.layers.includes(layer.name)
    return allowed ? undefined : `${layer.name} (${target})`
  }
  if (specifier.startsWith('node:')) {
    const allowed = own.packages === 'all' || pureModules.includes(specifier.slice('node:'.length))
    return allowed ? undefined : specifier
  }
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
  return own.packages === 'all' || own.packages.includes(name) ? undefined : `the package ${name}`
}
