/** An owner from before, as far as its records go: appends valid records to the log of a world, and knows what they come to. */
import { actorShare, hash64ToBytes, noShare, replaceShare, type Hash64 } from '../../src/core/hashing.ts'
import { judge, startOfLog, type LogPosition } from '../../src/core/log.ts'
import { actorId } from '../../src/partition/names.ts'
import { epoch, incarnation, nextSeq, rev, seq, sessionId, type NodeId } from '../../src/protocol/ids.ts'
import {
  encodeRecord,
  type LogRecord,
  type Mutation,
  type RecordHeader,
  type SessionMark,
  type TurnRecord,
} from '../../src/protocol/record.ts'
import { encodeValue } from '../../src/protocol/values.ts'
import { g1, p0, type PartitionWorld } from './world.ts'

const nil = Uint8Array.of(0xc0)

export interface WrittenTurn {
  readonly type?: string
  readonly key: string
  /** `null`: deleted; left out: unchanged. */
  readonly state?: unknown
  readonly session?: string
  readonly number?: number
  readonly low?: number
  readonly reply?: unknown
}

export class LogWriter {
  position: LogPosition = startOfLog(p0, g1)
  stateHash: Hash64 = noShare
  readonly actors = new Map<string, { rev: number; state: Uint8Array | null; share: Hash64 }>()
  readonly #world: PartitionWorld
  #number = 0

  constructor(world: PartitionWorld) {
    this.#world = world
    for (const record of world.world.changelog.recordsOf(p0)) this.#judge(record)
  }

  claim(
    node: string,
    changes: { readonly epoch?: number; readonly incarnation?: string; readonly time?: number } = {},
  ): this {
    const claim: LogRecord = {
      kind: 'claim',
      ...this.#header(changes.time),
      epoch: epoch(changes.epoch ?? this.position.epoch + 1),
      incarnation: incarnation(changes.incarnation ?? `${node}0`),
      node: node as NodeId,
    }
    return this.#append(claim)
  }

  handOff(to: string): this {
    return this.#append({ kind: 'handoff', ...this.#header(), to: to as NodeId })
  }

  commit(turns: readonly WrittenTurn[], more: { time?: number; published?: number; ended?: string[] } = {}): this {
    const marks = new Map<string, SessionMark>()
    const written = turns.map((turn): TurnRecord => {
      const { type = 'thing', key, session = 's1', reply = null } = turn
      const number = turn.number ?? ++this.#number
      marks.set(session, { session: sessionId(session), low: turn.low ?? 0 })
      const id = actorId(type, key)
      const before = this.actors.get(id) ?? { rev: 0, state: null, share: noShare }
      const base = { session: [...marks.keys()].indexOf(session), number, reply: encodeValue(reply).slice() }
      if (!('state' in turn)) return { ...base, mutations: [] }
      const state = turn.state === null ? null : encodeValue(turn.state).slice()
      const after = { rev: before.rev + 1, state, share: actorShare(id, before.rev + 1, state) }
      this.stateHash = replaceShare(this.stateHash, before.share, after.share)
      this.actors.set(id, after)
      return { ...base, mutations: [{ type, key, rev: rev(after.rev), state, expiresAt: null }] }
    })
    const header = this.#header(more.time)
    const ended = (more.ended ?? []).map(sessionId)
    const published = seq(more.published ?? header.published)
    const sessions = [...marks.values()]
    return this.#append({ kind: 'commit', ...header, published, sessions, ended, turns: written, outputs: [] })
  }

  /** A record that no reader counts, with a change that nobody may see. */
  stray(): this {
    const bytes = encodeRecord({
      kind: 'commit',
      ...this.#header(),
      epoch: epoch(0),
      incarnation: incarnation('former'),
      sessions: [{ session: sessionId('former'), low: 0 }],
      ended: [],
      turns: [
        {
          session: 0,
          number: 1,
          reply: nil,
          mutations: [{ type: 'thing', key: 'void', rev: rev(1), state: nil, expiresAt: null }],
        },
      ],
      outputs: [],
    }).slice()
    return this.raw(bytes)
  }

  raw(bytes: Uint8Array): this {
    this.#world.append(bytes)
    this.#judge(bytes)
    return this
  }

  #append(record: LogRecord): this {
    const before = this.position
    this.raw(encodeRecord(record).slice())
    if (this.position.validSeq === before.validSeq) throw new Error(`this ${record.kind} is not valid`)
    return this
  }

  #header(time?: number): RecordHeader {
    const { partition, epoch, incarnation, validHash, published } = this.position
    const stateHash = hash64ToBytes(this.stateHash)
    return {
      partition,
      epoch,
      incarnation,
      prev: validHash,
      time: time ?? this.position.time + 1,
      published,
      stateHash,
    }
  }

  #judge(bytes: Uint8Array): void {
    const verdict = judge(this.position, nextSeq(this.position.seq), bytes)
    if (verdict.kind !== 'broken') this.position = verdict.position
    if (verdict.kind === 'valid' && verdict.record.kind === 'commit')
      for (const mutation of verdict.record.turns.flatMap(({ mutations }) => mutations)) this.#apply(mutation)
  }

  /** What others have written; what was written here is known already. */
  #apply({ type, key, rev, state, expiresAt }: Mutation): void {
    const id = actorId(type, key)
    const before = this.actors.get(id)
    if (before?.rev === rev && (state !== undefined || before.share === noShare)) return
    const share = state === undefined ? noShare : actorShare(id, rev, state, expiresAt)
    const after = { rev, state: state ?? null, share }
    this.stateHash = replaceShare(this.stateHash, before?.share ?? noShare, after.share)
    this.actors.set(id, after)
  }
}
