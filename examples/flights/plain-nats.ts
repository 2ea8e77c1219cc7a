/** The two requests that a plain NATS client makes of a cluster to watch it. They are repeated until an owner answers, or half a minute. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createInbox, type NatsConnection } from '@nats-io/nats-core'

/** A change, as it is published and as it comes in a page. */
export interface PlainChange {
  readonly type: string
  readonly key: string
  readonly rev: number
  /** `null`: destroyed. */
  readonly state: unknown
  /** `<partition>-<generation>-<seq>-<index>` */
  readonly cursor: string
}

export interface PlainPage {
  readonly changes: readonly PlainChange[]
  /** Where to go on from. */
  readonly next: string
  /** There is more after `next` already. */
  readonly more: boolean
}

/** One message of a page: a change, its end, or an error. */
type PagePart =
  | (PlainChange & { readonly end?: undefined; readonly error?: undefined })
  | {
      readonly end: true
      readonly next: string
      readonly more: boolean
      readonly count: number
      readonly error?: undefined
    }
  | { readonly end?: undefined; readonly error: { readonly code: string; readonly message: string } }

const answerWithinMs = 2_000
const againAfterMs = 100
const patienceMs = 30_000

/** How many partitions the cluster has. */
export async function countPartitions(nc: NatsConnection, cluster: string): Promise<number> {
  return repeated(async () => {
    const reply = await nc.request(`${cluster}.placement.get`, '', { timeout: answerWithinMs })
    return reply.json<{ readonly owners: readonly unknown[] }>().owners.length
  })
}

/** The changes of a partition after the cursor `from`, or from `start`. */
export async function pullPage(
  nc: NatsConnection,
  cluster: string,
  partition: number,
  from: string,
): Promise<PlainPage> {
  return repeated(() => askForPage(nc, `${cluster}.watch.${partition}`, from))
}

function askForPage(nc: NatsConnection, subject: string, from: string): Promise<PlainPage> {
  return new Promise((resolve, reject) => {
    const changes: PlainChange[] = []
    const inbox = createInbox()
    const settle = (how: () => void) => {
      clearTimeout(late)
      subscription.unsubscribe()
      how()
    }
    const fail = (reason: string) => settle(() => reject(new Error(`${subject}: ${reason}`)))
    const late = setTimeout(() => fail('no answer in time'), answerWithinMs)
    const subscription = nc.subscribe(inbox, {
      callback(error, message) {
        if (error !== null) return fail(error.message)
        // The server's word that nobody listens: the partition has no owner at the moment.
        if (message.headers?.code === 503) return fail('no owner')
        const part = message.json<PagePart>()
        if (part.error !== undefined) fail(`${part.error.code}: ${part.error.message}`)
        else if (part.end === undefined) changes.push(part)
        else if (part.count !== changes.length) fail(`${changes.length} of ${part.count} changes came`)
        else settle(() => resolve({ changes, next: part.next, more: part.more }))
      },
    })
    nc.publish(subject, JSON.stringify({ from }), { reply: inbox })
  })
}

async function repeated<T>(ask: () => Promise<T>): Promise<T> {
  const deadlineMs = performance.now() + patienceMs
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (performance.now() > deadlineMs) throw error
      await sleep(againAfterMs)
    }
  }
}
