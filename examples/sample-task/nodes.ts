/** The nodes, each a process. */
import { join } from 'node:path'
import { Child, runScript } from '../support/child.ts'
import type { Teardown } from '../support/teardown.ts'
import type { NodeMessage } from './node.ts'

/** What a new cluster has by default. */
const partitions = 16

export class Nodes {
  readonly #nodes = new Map<string, Child<NodeMessage>>()
  /** The node that serves each partition. */
  readonly #serving = new Map<number, string>()
  #onServing: (() => void) | undefined

  constructor(servers: string, folder: string, names: readonly string[], teardown: Teardown, troubles: string[]) {
    for (const name of names) {
      const script = runScript(new URL('node.ts', import.meta.url), [servers, join(folder, name), name])
      const node = new Child<NodeMessage>(script, name, troubles)
      teardown.add(() => node.end('disconnect'))
      this.#nodes.set(name, node)
      node.onMessage((message) => {
        if (message.kind === 'trouble') troubles.push(message.text)
        else this.#serving.set(message.partition, name)
        this.#onServing?.()
      })
    }
  }

  /** Resolves once the task runs in every partition, and the nodes have their shares. */
  serving(): Promise<void> {
    const shareOf = (node: string) => [...this.#serving.values()].filter((name) => name === node).length
    const least = Math.floor(partitions / this.#nodes.size)
    const shared = () => [...this.#nodes.keys()].every((name) => shareOf(name) >= least)
    const all = new Promise<void>((resolve) => {
      this.#onServing = () => void (this.#serving.size === partitions && shared() && resolve())
      this.#onServing()
    })
    return [...this.#nodes.values()].reduce((serving, node) => node.before(serving), all)
  }

  /** SIGKILL. */
  kill(name: string): Promise<void> {
    return this.#nodes.get(name)!.kill()
  }
}
