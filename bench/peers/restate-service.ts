/**
 * The service of the comparison with Restate: a process of its own on a Node.js that the SDK takes, which runs this file as it is. Ends when
 * its parent lets go of it.
 */
import { createServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { tellParent } from '../../examples/support/parent.ts'

export type ServiceMessage = { readonly kind: 'ready'; readonly port: number }

interface State {
  count: number
  readonly pad: string
}

/** What is used of the SDK. It is imported by a name that the compiler does not follow: it need not be installed for that. */
interface Sdk {
  readonly object: (definition: {
    readonly name: string
    readonly handlers: Readonly<Record<string, (context: ObjectContext) => Promise<unknown>>>
  }) => object
  readonly createEndpointHandler: (options: {
    readonly services: readonly object[]
    readonly bidirectional: boolean
  }) => (request: Http2ServerRequest, response: Http2ServerResponse) => void
}

interface ObjectContext {
  get(name: 'state'): Promise<State | null>
  set(name: 'state', state: State): void
}

const sdk: string = '@restatedev/restate-sdk'
const { object, createEndpointHandler } = (await import(sdk)) as Sdk

// As JSON the state takes 100 bytes with a count of four digits; our counter's, as msgpack, takes them with one of four bytes.
const pad = 'x'.repeat(77)

const counter = object({
  name: 'counter',
  // Exclusive, as handlers of objects are: one invocation of a key after the other.
  handlers: {
    async increment(context) {
      const state = (await context.get('state')) ?? { count: 0, pad }
      state.count += 1
      context.set('state', state)
      return state.count
    },
  },
})

const server = createServer(createEndpointHandler({ services: [counter], bidirectional: true }))
process.once('disconnect', () => process.exit())
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo
  tellParent({ kind: 'ready', port } satisfies ServiceMessage)
})
