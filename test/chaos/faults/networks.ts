/** Nodes whose packets do not arrive, one way or both: TCP stays up and says nothing. */
import { networkNamespaces } from '../needs.ts'
import { inNamespaces, namespaceOf } from '../places.ts'
import { command } from '../command.ts'
import type { Fault } from '../fault.ts'

const cutMs = 8_000

const cut = (name: string, chains: readonly string[], what: string): Fault => ({
  name,
  what: `${what} for ${cutMs / 1_000} s.`,
  count: 15,
  servers: 1,
  needs: [networkNamespaces],
  place: inNamespaces,
  async strike(world, n) {
    const victim = world.memberOf(n)
    const partitions = world.owned(victim)
    const rules = (action: string) => {
      for (const chain of chains) {
        command('ip', 'netns', 'exec', namespaceOf(victim.name), 'iptables', action, chain, '-j', 'DROP')
      }
    }
    rules('-A')
    return { partitions, openMs: cutMs, heal: async () => rules('-D') }
  },
})

export const cuts: readonly Fault[] = [
  cut(
    'cut-off',
    ['INPUT', 'OUTPUT'],
    'A node, in a network namespace of its own, is cut off from the NATS server, both ways,',
  ),
  cut('cut-sending', ['OUTPUT'], 'What a node sends does not reach the NATS server; what the server sends reaches it,'),
  cut('cut-hearing', ['INPUT'], 'What the NATS server sends does not reach a node; what the node sends reaches it,'),
]
