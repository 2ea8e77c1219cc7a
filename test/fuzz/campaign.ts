/**
 * Hostile messages by the million: what they are, where they go, and whether all is well afterwards.
 *
 * FZ1. Everything comes from a seed: the n-th round of a seed is the same again, alone. Each round has a cluster of its own.
 * FZ2. Most frames go to a decoder, which gives a value or an error with one of its codes; one of `wholeEvery`, and all large ones, go the
 *      whole way, by the transport to nodes and clients, unless their door has no way.
 * FZ3. The event loop is never held for longer than `mostBlockedMs` by one message. Frames are sent in batches; where a batch held it for
 *      longer, each of its frames is sent again to a cluster of its own, several times, and its shortest time counts: others use the machine, too.
 * FZ4. After each round the cluster is judged (attacked-cluster.ts), and memory after a collection.
 */
import { isHoldfastError, messageOf } from '../../src/protocol/errors.ts'
import type { Headers } from '../../src/ports/transport.ts'
import { decodeNodeRequest } from '../../src/placement/control.ts'
import type { NodeId } from '../../src/protocol/ids.ts'
import { SeededRandom } from '../../src/testing/seeded-random.ts'
import { AttackedCluster, evilSubject } from './attacked-cluster.ts'
import { readCorpus, type Corpus } from './corpus.ts'
import { decoders, parts, typedCodes } from './decoders.ts'
import { doors, type Door } from './doors.ts'
import { forged } from './forgeries.ts'
import { bombs } from './hostile-bytes.ts'
import { mutated } from './mutations.ts'

export const mostBlockedMs = 50
export const roundFrames = 500_000
const batchFrames = 2_048
const batchMs = 12
/** One frame of so many is large. */
const bombEvery = 16_000
const wholeEvery = 24
const largeBytes = 100_000
const mostRecordBytes = 524_288
/** A shorter round is over before anything in it is old. */
const agedFrames = 20_000
const echoEvery = 500
/** A client repeats a command for so long, and an owner knows it for longer (R3). */
const echoTermMs = 80_000
/** Deliveries of which the shortest time counts. */
const confirmations = 7

export interface CampaignOptions {
  readonly seed: string
  readonly frames: number
  /** Names of doors; default all. */
  readonly only?: readonly string[]
  readonly firstRound?: number
  readonly onRound?: (report: Report) => void
}

export interface Report {
  frames: number
  /** Of these those that went the whole way. */
  whole: number
  rounds: number
  violations: { readonly round: number; readonly what: string }[]
  /** By the names of doors. */
  readonly byDoor: Record<string, number>
  /** Read as what they are, and refused. */
  read: number
  refused: number
  dropped: number
  acknowledged: number
  /** The longest that one message held the event loop, ms. */
  blockedMs: number
  blockedBy: string
  /** Above what it was after the first collection, MiB. */
  grownMiB: number
  peakMiB: number
}

interface Frame {
  readonly door: Door
  readonly data: Buffer
  readonly subject: string | undefined
  readonly reply: string | undefined
  readonly headers: Headers | undefined
  readonly byWire: boolean
}

const staying = 'n1' as NodeId

const mebibyte = 1_024 * 1_024

export async function campaign(options: CampaignOptions): Promise<Report> {
  const report: Report = {
    ...{ frames: 0, whole: 0, rounds: 0, violations: [], byDoor: {}, read: 0, refused: 0, dropped: 0, acknowledged: 0 },
    ...{ blockedMs: 0, blockedBy: '', grownMiB: 0, peakMiB: 0 },
  }
  const corpus = readCorpus()
  const large = bombs()
  const collect = globalThis.gc
  // What is compiled, cached and made once is there before the measuring begins.
  if (collect !== undefined) {
    await new Round(options, report, -1, corpus, large).run(Math.min(options.frames, 50_000))
    Object.assign(report, { frames: 0, whole: 0, byDoor: {}, read: 0, refused: 0, dropped: 0, acknowledged: 0 })
    collect()
  }
  const beforeMiB = process.memoryUsage.rss() / mebibyte
  for (let round = options.firstRound ?? 0; report.frames < options.frames; round++) {
    await new Round(options, report, round, corpus, large).run(Math.min(roundFrames, options.frames - report.frames))
    report.peakMiB = Math.max(report.peakMiB, process.memoryUsage.rss() / mebibyte - beforeMiB)
    collect?.()
    report.grownMiB = Math.max(report.grownMiB, process.memoryUsage.rss() / mebibyte - beforeMiB)
    report.rounds++
    options.onRound?.(report)
  }
  return report
}

class Round {
  readonly #report: Report
  readonly #number: number
  readonly #corpus: Corpus
  readonly #large: ReturnType<typeof bombs>
  readonly #random: SeededRandom
  readonly #doors: readonly Door[]
  #cluster!: AttackedCluster
  /** For confirmations (FZ3). */
  #other: AttackedCluster | undefined
  readonly #name: string

  constructor(
    { seed, only }: CampaignOptions,
    report: Report,
    number: number,
    corpus: Corpus,
    large: ReturnType<typeof bombs>,
  ) {
    this.#report = report
    this.#number = number
    this.#corpus = corpus
    this.#large = large
    this.#name = `${seed}/${number}`
    this.#random = new SeededRandom(this.#name)
    const wanted = doors.filter(({ name }) => only === undefined || only.includes(name))
    this.#doors = wanted.flatMap((door) => Array.from({ length: door.share }, () => door))
  }

  async run(frames: number): Promise<void> {
    this.#cluster = await AttackedCluster.begin(this.#name)
    const agedAt = frames < agedFrames ? -1 : Math.floor(frames * 0.6)
    for (let sent = 0; sent < frames;) {
      const batch: Frame[] = []
      for (; sent < frames && batch.length < batchFrames; sent++) {
        if (this.#random.below(bombEvery) === 0) await this.#deliver([this.#bomb()])
        else batch.push(this.#frame())
        if (sent % echoEvery === 0) this.#echo()
        if (sent === agedAt) await this.#cluster.age(130_000)
      }
      await this.#deliver(batch)
    }
    this.#report.frames += frames
    await this.#cluster.judge()
    for (const what of this.#cluster.violations) this.#violation(what)
    this.#report.dropped += this.#cluster.dropped
    this.#report.acknowledged += this.#cluster.acknowledged
    await this.#cluster.close()
    await this.#other?.close()
  }

  #violation(what: string): void {
    this.#report.violations.push({ round: this.#number, what })
  }

  #frame(): Frame {
    const random = this.#random
    const door = random.pick(this.#doors)!
    const data = random.chance(0.6)
      ? mutated(random, this.#corpus[door.form], door.json ? 'json' : 'binary')
      : forged(door.form, random, this.#cluster)
    return this.#addressed(door, data)
  }

  #bomb(): Frame {
    const random = this.#random
    const door = random.pick(this.#doors)!
    const large = door.json ? this.#large.json : this.#large.packed
    // An owner's record has at most half of what a message may have, and nobody else writes any.
    const data = random.pick(door.form === 'record' ? large.filter(({ length }) => length <= mostRecordBytes) : large)!
    if (door.form !== 'request-frame' || random.chance(0.3)) return this.#addressed(door, data)
    // As an input, of which a frame that is right knows nothing.
    const name = random.pick(['keep', 'later', 'read'])
    return this.#addressed(door, inFrame(data, random.below(1_000_000), name))
  }

  #addressed(door: Door, data: Buffer): Frame {
    const random = this.#random
    const reply = random.chance(0.9)
      ? `_INBOX.nobody.${random.below(100)}`
      : random.pick([undefined, evilSubject, '_INBOX'])
    const subject = door.at?.(random, this.#cluster)
    const byWire = data.length > largeBytes || random.below(wholeEvery) === 0
    return { door, data, subject, reply, headers: door.headers?.(random), byWire }
  }

  /** Frames of the echoed client once more, as they were. */
  #echo(): void {
    const { echoed, attacker, world, subjects } = this.#cluster
    const sent = this.#random.pick(echoed.sent)
    if (sent === undefined || world.clock.monotonic() - sent.atMs > echoTermMs) return
    const anywhere = this.#random.chance(0.3) ? subjects.partition(this.#random.below(4) as never) : sent.subject
    for (let times = 1 + this.#random.below(3); times > 0; times--) {
      attacker.transport.publish(anywhere, sent.data, { reply: '_INBOX.nobody.0' })
    }
  }

  async #deliver(batch: readonly Frame[]): Promise<void> {
    const slow: Frame[] = []
    let givenMs = 0
    let lastMs = performance.now()
    for (const frame of batch) {
      this.#give(frame, this.#cluster)
      const nowMs = performance.now()
      if (nowMs - lastMs > mostBlockedMs) slow.push(frame)
      givenMs = Math.max(givenMs, nowMs - lastMs)
      lastMs = nowMs
    }
    const heldMs = await this.#cluster.pass(batch.length === 1 ? 50 : batchMs)
    const heavy = heldMs > mostBlockedMs ? batch.filter(({ byWire }) => byWire) : slow
    if (heavy.length > 0) await this.#confirm(heavy)
    else if (batch.length === 1) this.#note(batch[0]!, Math.max(givenMs, heldMs))
  }

  /** FZ2. To one of both ways; the choice is the frame's own. */
  #give({ door, data, subject, reply, headers, byWire }: Frame, cluster: AttackedCluster): void {
    this.#report.byDoor[door.name] = (this.#report.byDoor[door.name] ?? 0) + 1
    const whole = subject !== undefined || door.put !== undefined
    if (!whole || !byWire) return this.#decode(door, data)
    this.#report.whole++
    if (door.put !== undefined) return this.#put(door, data, cluster)
    if (door.form === 'control' && isDrain(data) && subject === cluster.subjects.nodeControl(staying)) return
    try {
      const options = { ...(reply === undefined ? {} : { reply }), ...(headers === undefined ? {} : { headers }) }
      cluster.attacker.transport.publish(subject!, data, options)
    } catch (error) {
      // The wire itself has refused it.
      if (!isHoldfastError(error, 'INVALID')) throw error
    }
  }

  #put(door: Door, data: Buffer, cluster: AttackedCluster): void {
    // Who may write to the registry may write what is true there, and is believed.
    if (door.form === 'lease' && reads(door, data)) return
    door.put!(data, this.#random.fork(String(data.length)), cluster)
  }

  #decode(door: Door, data: Buffer): void {
    const part = data.length % 8 === 0 ? parts[(data.length >> 3) % parts.length] : undefined
    for (const decode of part === undefined ? [decoders[door.form]] : [decoders[door.form], part]) {
      try {
        decode(data)
        this.#report.read++
      } catch (error) {
        this.#report.refused++
        const code = isHoldfastError(error) ? error.code : undefined
        if (code === undefined || !typedCodes.has(code)) {
          this.#violation(`${door.name}: ${messageOf(error)} for ${shown(data)}`)
        }
      }
    }
  }

  /** FZ3. Halves that are quick are innocent. */
  async #confirm(batch: readonly Frame[]): Promise<void> {
    let shortestMs = Number.POSITIVE_INFINITY
    for (let n = 0; n < confirmations && shortestMs > mostBlockedMs; n++) {
      this.#other ??= await AttackedCluster.begin(`${this.#name}/again`)
      const [started, cpu] = [performance.now(), process.cpuUsage()]
      for (const frame of batch) this.#give(frame, this.#other)
      const givenMs = performance.now() - started
      const heldMs = Math.max(givenMs, await this.#other.pass(batchMs))
      // Where others had the machine, it held the loop for no longer than it worked.
      const { user, system } = process.cpuUsage(cpu)
      shortestMs = Math.min(shortestMs, heldMs, (user + system) / 1_000)
    }
    const [first] = batch
    if (batch.length === 1) this.#note(first!, shortestMs)
    if (shortestMs <= mostBlockedMs) return
    if (batch.length > 1) {
      const half = batch.length >> 1
      await this.#confirm(batch.slice(0, half))
      return this.#confirm(batch.slice(half))
    }
    this.#violation(`${first!.door.name}: ${shortestMs.toFixed(0)} ms for ${first!.subject} ${shown(first!.data)}`)
  }

  #note({ door, data }: Frame, ms: number): void {
    if (ms <= this.#report.blockedMs) return
    this.#report.blockedMs = ms
    this.#report.blockedBy = `${door.name}, ${data.length} bytes`
  }
}

function reads(door: Door, data: Buffer): boolean {
  try {
    decoders[door.form](data)
    return true
  } catch {
    return false
  }
}

/** An order that anybody may give who may write there: a cluster whose nodes have all got it serves no more, and is to. */
function isDrain(data: Buffer): boolean {
  try {
    return decodeNodeRequest(data).op === 'drain'
  } catch {
    return false
  }
}

const shown = (data: Buffer) =>
  data.length <= 96 ? data.toString('base64') : `${data.length} bytes that begin with ${data.toString('base64', 0, 96)}`

/** A request frame of one request that has these bytes as its input, which nothing has looked at. */
function inFrame(input: Buffer, number: number, name: string): Buffer {
  const u32 = (head: number, n: number) => Buffer.of(head, n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255)
  const text = (said: string) => Buffer.concat([Buffer.of(0xa0 + said.length), Buffer.from(said)])
  return Buffer.concat([
    Buffer.of(0x9d, 2, 4),
    ...[text('bomber'), Buffer.of(0), u32(0xc6, input.length), input, Buffer.of(0), u32(0xce, number)],
    ...[text('prey'), text('k1'), text(name), u32(0xce, input.length), u32(0xce, 10_000), Buffer.of(0xc0)],
  ])
}
