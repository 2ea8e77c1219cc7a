/**
 * What an owner does for a command, as one loop without anything around it: no socket, no log, no disk, no mailbox, no error. It reads frames, runs
 * the handler, writes state, record, hashes, replies and change messages, with the same functions. What it takes for a command is what the rest
 * of a node is compared with.
 *
 *   node .bench/bench/floor-work.js <keys> <seconds>
 */
import { performance } from 'node:perf_hooks'
import { tellParent } from '../examples/support/parent.ts'
import {
  actorShare,
  hash64ToBytes,
  noLink,
  noShare,
  recordHash,
  replaceShare,
  type Hash64,
} from '../src/core/hashing.ts'
import { NumberMap } from '../src/core/number-map.ts'
import { RowBatch } from '../src/core/row-batch.ts'
import { changeMessage } from '../src/partition/change-message.ts'
import { StateArena } from '../src/partition/state-arena.ts'
import { writeActor, type Version } from '../src/partition/store-layout.ts'
import {
  decodeRequestFrame,
  encodeReplyFrame,
  encodeRequestFrame,
  type Reply,
  type Request,
} from '../src/protocol/frames.ts'
import { epoch, generation, incarnation, nextRev, partitionId, rev, seq, sessionId } from '../src/protocol/ids.ts'
import { partitionOf } from '../src/protocol/partitioning.ts'
import { encodeRecord, type Mutation, type TurnRecord } from '../src/protocol/record.ts'
import { subjectsOf } from '../src/protocol/subjects.ts'
import { decodeInput, decodeValue, encodeValue } from '../src/protocol/values.ts'
import { partitions } from './bench-node.ts'
import { Counter } from './counter.ts'
import { keyName, Ledger } from './ledger.ts'

export interface FloorWorkMessage {
  readonly kind: 'measured'
  readonly perSecond: number
}

interface State {
  count: number
}

class Partition {
  readonly id: number
  readonly actors = new Map<string, Version>()
  readonly replies = new NumberMap<Uint8Array>()
  readonly states = new StateArena()
  turns: TurnRecord[] = []
  hash: Hash64 = noShare
  link = noLink
  records = 0
  dirty = new Set<string>()

  constructor(id: number) {
    this.id = id
  }

  run({ key, number, input }: Request): void {
    const before = this.actors.get(key)
    const state = (before === undefined ? Counter.initialState() : decodeValue(before.state!)) as State
    const reply = encodeValue((state.count += decodeInput(input) as number))
    const bytes = this.states.write(state)
    const after = nextRev(before?.rev ?? rev(0))
    const share = actorShare(key, after, bytes)
    this.hash = replaceShare(this.hash, before ?? noShare, share)
    if (before !== undefined) this.states.release(before.state!)
    this.actors.set(key, { rev: after, state: bytes, expiresAt: null, ...share })
    this.dirty.add(key)
    const mutations: Mutation[] = [{ type, key, rev: after, state: bytes, expiresAt: null }]
    this.turns.push({ session: 0, number, reply, mutations })
  }

  commit(low: number): readonly Reply[] {
    const { turns } = this
    this.turns = []
    const record = encodeRecord({
      kind: 'commit',
      partition: partitionId(this.id),
      epoch: epoch(1),
      incarnation: incarnation('floor'),
      prev: this.link,
      time: 1_700_000_000_000,
      published: seq(this.records),
      stateHash: hash64ToBytes(this.hash),
      sessions: [{ session, low }],
      ended: [],
      turns,
      outputs: [],
    })
    this.link = recordHash(record)
    this.records++
    return turns.map(({ number, reply, mutations }, index): Reply => {
      for (const { key, rev: at, state } of mutations) {
        const change = { seq: seq(this.records), index, type, key, rev: at, state: state!, at: 1_700_000_000_000 }
        changeMessage(partitionId(this.id), generation('floor'), change, 1_048_576)
        subjects.changes(type, key)
      }
      this.replies.set(number, reply)
      this.replies.delete(number - inFlight)
      return { number, kind: 'value', value: reply }
    })
  }

  write(): void {
    const batch = new RowBatch(1_048_576)
    for (const key of this.dirty) writeActor(batch, key, this.actors.get(key)!)
    batch.take()
    this.dirty = new Set()
  }
}

const inFlight = 1_024
const framesInFlight = 8
/** Between two writes of a store; as many as 100 ms have. */
const roundsForWrite = 4
const session = sessionId('floor')
const subjects = subjectsOf('floor')
const input = encodeValue(1)
const { type } = Counter

const [keys, seconds] = process.argv.slice(2).map(Number) as [number, number]
const ledger = new Ledger(keys)
const owned = Array.from({ length: partitions }, (_, id) => new Partition(id))
let number = 0

function frame(): Uint8Array {
  const requests = Array.from({ length: inFlight / framesInFlight }, (): Request => {
    const key = keyName(ledger.pick())
    return { kind: 'command', number: ++number, type, key, name: 'add', input, timeoutMs: 10_000 }
  })
  return encodeRequestFrame({ partitions, session, low: Math.max(1, number - inFlight), frame: 1, requests })
}

function work(frames: readonly Uint8Array[], write: boolean): void {
  for (const bytes of frames) {
    for (const request of decodeRequestFrame(bytes).requests) owned[partitionOf(request.key, partitions)]!.run(request)
  }
  const replies = owned.flatMap((partition) => partition.commit(number - inFlight))
  encodeReplyFrame({ session, replies })
  if (write) for (const partition of owned) partition.write()
}

let spentMs = 0
let commands = 0
for (const untilMs = performance.now() + 2_000 * seconds; performance.now() < untilMs;) {
  // All keys are there, and all code is compiled, when it counts.
  const counts = performance.now() > untilMs - 1_000 * seconds
  const frames = Array.from({ length: framesInFlight }, frame)
  const beginMs = performance.now()
  work(frames, (number / inFlight) % roundsForWrite === 0)
  if (!counts) continue
  spentMs += performance.now() - beginMs
  commands += inFlight
}
tellParent({ kind: 'measured', perSecond: (commands / spentMs) * 1_000 } satisfies FloorWorkMessage)
