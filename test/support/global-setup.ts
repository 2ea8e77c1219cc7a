/** Before any test: makes sure of a nats-server, once, and names the folder of the build that test files share; both by the environment. */
import { rmSync } from 'node:fs'
import { buildFolder } from './build.ts'
import { natsServerBinary } from './nats-server.ts'

export default function setup(): () => void {
  process.env['NATS_SERVER_BIN'] = natsServerBinary()
  const folder = buildFolder()
  return () => rmSync(folder, { recursive: true, force: true })
}
