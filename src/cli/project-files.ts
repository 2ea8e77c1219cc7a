/** What `init` writes: the smallest project that runs. */

export interface ProjectFile {
  readonly path: string
  readonly text: string
}

export function projectFiles(name: string, version: string): readonly ProjectFile[] {
  return [
    { path: 'package.json', text: packageJson(name, version) },
    { path: 'tsconfig.json', text: tsconfig },
    { path: '.gitignore', text: 'node_modules\ndist\n.holdfast\ndata\n' },
    { path: 'actors/counter.ts', text: counter },
    { path: 'README.md', text: readme(name) },
  ]
}

const packageJson = (name: string, version: string) =>
  `${JSON.stringify(
    {
      name,
      version: '0.0.0',
      private: true,
      type: 'module',
      scripts: { dev: 'holdfast dev', types: 'tsc --noEmit', build: 'tsc' },
      dependencies: { holdfast: `^${version}` },
      devDependencies: { '@types/node': '^20', tsx: '^4', typescript: '>=5.9' },
      engines: { node: '>=20.19' },
    },
    null,
    2,
  )}\n`

const tsconfig = `{
  "compilerOptions": {
    "target": "es2023",
    "module": "nodenext",
    "types": ["node"],
    "strict": true,
    "noUncheckedIndexedAccess": true,
    "verbatimModuleSyntax": true,
    "erasableSyntaxOnly": true,
    "rewriteRelativeImportExtensions": true,
    "skipLibCheck": true,
    "rootDir": ".",
    "outDir": "dist"
  },
  "include": ["actors"]
}
`

const counter = `import { actor } from 'holdfast'

export const Counter = actor('counter', {
  version: 1,
  // What a key has before its first command.
  state: () => ({ value: 0 }),
  // Each runs alone for its key. What it changes is durable before the caller has the reply.
  commands: {
    add(ctx, n: number) {
      if (!Number.isFinite(n)) throw new TypeError('add takes a number')
      ctx.state.value += n
      return ctx.state.value
    },
    reset(ctx) {
      ctx.state.value = 0
    },
  },
  // Read the committed state.
  queries: {
    value: (state) => state.value,
  },
})
`

const readme = (name: string) => `# ${name}

Actors on [Holdfast](https://www.npmjs.com/package/holdfast). Each file in \`actors\` that exports what \`actor()\` returned is hosted.

\`\`\`sh
npm install
npx holdfast dev
\`\`\`

\`dev\` runs a node in this folder, without any server, and starts it again when a file changes; its data is kept in \`.holdfast\`. In
another terminal:

\`\`\`sh
npx holdfast call counter c1 add 5
npx holdfast query counter c1 value
npx holdfast watch counter --from start
npx holdfast kv put users ada '{"name":"Ada"}'
npx holdfast status
\`\`\`

In production nodes run against a NATS server, with the actors as JavaScript:

\`\`\`sh
npm run build
npx holdfast node --servers nats://127.0.0.1:4222 --actors dist/actors --data data/node-1
\`\`\`
`
