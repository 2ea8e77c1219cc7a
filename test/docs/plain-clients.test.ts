/** The lines for the shell in the guide, sent as a plain NATS client sends them, and what is answered. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, headers, type NatsConnection } from '@nats-io/transport-node'
import { afterEach, describe, expect, it } from 'vitest'
import { parseCursor } from '../../src/protocol/cursor.ts'
import { defaultPartitions, partitionOf } from '../../src/protocol/partitioning.ts'
import { runChild, type Child } from '../support/child.ts'
import { startNatsServer } from '../support/nats-server.ts'
import { blocksOf, page } from './markdown.ts'

const blocks = blocksOf(page('docs/guide.md'))
const timeout = 60_000

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

/** Runs a file of the examples; it does not outlive this process. */
function runExample(path: string, env: Readonly<Record<string, string>> = {}): Child {
  const orphaned = `process.stdin.on('end', () => process.kill(process.pid, 'SIGKILL')).resume().unref()\n`
  const child = runChild(`${orphaned}await import(${JSON.stringify(new URL(`../../${path}`, import.meta.url).href)})`, {
    typescript: true,
    env,
  })
  ends.push(() => child.kill())
  return child
}

describe('what the guide says is answered', () => {
  it('to the requests of a plain NATS client comes from examples/tour/nats.ts', { timeout }, async () => {
    const server = await startNatsServer()
    ends.push(() => server.stop())
    const dataDir = await mkdtemp(join(tmpdir(), 'holdfast-guide-'))
    ends.push(() => rm(dataDir, { recursive: true, force: true }))
    const node = runExample('examples/tour/nats.ts', { NATS_URL: server.url, DATA_DIR: dataDir })
    await node.printed('a node of the cluster shop is up')
    const nc = await connect({ servers: server.url })
    ends.push(() => nc.close())
    const changes: unknown[] = []
    nc.subscribe('shop.changes.cart.*', { callback: (_, message) => void changes.push(message.json()) })
    await nc.flush()

    const requests = requestsIn(textOf('requests'))
    expect(requests.length).toBeGreaterThan(3)
    for (const { request, reply } of requests) expect(await ask(nc, request)).toBe(reply)

    // Where in the log it was, and when, differs from run to run.
    const shown = JSON.parse(textOf('change')) as { readonly key: string; readonly cursor: string }
    const { cursor, at } = changes[0] as { readonly cursor: string; readonly at: number }
    expect(changes[0]).toEqual({ ...shown, cursor, at })
    expect(at).toBeGreaterThan(0)
    expect(parseCursor(shown.cursor).partition).toBe(partitionOf(shown.key, defaultPartitions))

    await nc.close()
    process.kill(node.pid, 'SIGTERM')
    expect(await node.exited, node.complaints.join('\n')).toEqual({ code: 0, signal: null })
  })
})

function textOf(comment: string): string {
  const found = blocks.filter((block) => block.comment === comment)
  expect(found).toHaveLength(1)
  return found[0]!.text
}

/** Pairs of a line that begins with `$` and the line that answers it. */
function requestsIn(text: string): readonly { readonly request: string; readonly reply: string }[] {
  const lines = text.trimEnd().split('\n')
  return Array.from({ length: lines.length / 2 }, (_, i) => ({ request: lines[2 * i]!, reply: lines[2 * i + 1]! }))
}

/** Sends what a line for the shell would send. */
async function ask(nc: NatsConnection, line: string): Promise<string> {
  const [, name, value, subject, body] = /^\$ nats req --raw (?:-H '([\w-]+):([^']*)' )?(\S+) '(.*)'$/.exec(line) ?? []
  if (subject === undefined || body === undefined) throw new Error(`not understood: ${line}`)
  const sent = headers()
  if (name !== undefined && value !== undefined) sent.set(name, value)
  return (await nc.request(subject, body, { timeout: 10_000, headers: sent })).string()
}
