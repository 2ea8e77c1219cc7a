/** Commands of an embedded cluster: node and client are one process, not this one, whose heap holds the bench. */
import { join } from 'node:path'
import type { EmbeddedMessage } from '../embedded.ts'
import type { Scene } from '../scene.ts'
import { startScript } from '../surroundings.ts'
import { compared } from './commands.ts'

const name = 'embedded.commands.w1024'

export const embedded: Scene = {
  name: 'embedded',
  figures: {
    [name]: {
      unit: '/s',
      what: 'no server, node and client in one process, on disk, 1,024 in flight; its CPU: client',
    },
  },
  async run(bench) {
    const { folder, keys, rounds, seconds, troubles } = bench
    const args = [join(folder, 'node'), rounds, seconds, keys].map(String)
    const child = startScript<EmbeddedMessage>(bench, 'embedded', 'embedded', args)
    child.onMessage((message) => {
      if (message.kind === 'trouble') troubles.push(`embedded: ${message.event}`)
    })
    bench.report(name, compared(bench, (await child.message('measured')).figure))
  },
}
