/** Before any test: makes sure of a nats-server, once, and tells the test processes by NATS_SERVER_BIN. */
import { natsServerBinary } from './nats-server.ts'

export default function setup(): void {
  process.env['NATS_SERVER_BIN'] = natsServerBinary()
}
