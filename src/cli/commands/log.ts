/** `log`: the records of one partition, as they are in its stream. */
import type { Command } from 'commander'
import { SystemCompression } from '../../adapters/system/compression.ts'
import { judge, type LogPosition, type Verdict } from '../../core/log.ts'
import { judgedFrom } from '../../partition/recovery/judged-from.ts'
import { HoldfastError, messageOf } from '../../protocol/errors.ts'
import { nextSeq, partitionId, seq, type Seq } from '../../protocol/ids.ts'
import { decodeRecord, type LogRecord, type SessionMark, type TurnRecord } from '../../protocol/record.ts'
import { decodeValue, toJson } from '../../protocol/values.ts'
import { exitCodes } from '../exit-codes.ts'
import type { Output } from '../output.ts'
import { parseCount, parseWhole } from '../parse.ts'
import { define, remoteExits, type Surroundings } from '../run.ts'

/** A record as it is printed with `--json`. */
interface ShownRecord {
  readonly seq: number
  readonly verdict: 'valid' | 'void'
  /** Why it counts for nothing. */
  readonly reason?: string
  readonly kind: LogRecord['kind']
  readonly epoch: number
  readonly incarnation: string
  readonly time: number
  readonly bytes: number
  readonly node?: string
  readonly turns?: readonly ShownTurn[]
}

interface ShownTurn {
  /** Of the command: the session's name and its number there. Absent: the partition's own turn. */
  readonly command?: string
  readonly mutations: readonly ShownMutation[]
  readonly reply?: unknown
}

interface ShownMutation {
  readonly type: string
  readonly key: string
  readonly rev: number
  readonly change: 'written' | 'deleted' | 'forgotten'
  readonly expiresAt?: number
  readonly state?: unknown
}

const defaultLimit = 20

export function addLog(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('log')
    .description("Prints the records of a partition's log, valid and void, judged as the nodes judge them.")
    .argument('<partition>', 'its number')
    .option('--from <seq>', 'first record (default: so that the last ones are printed)', parseCount)
    .option('--to <seq>', 'last record (default: the end)', parseCount)
    .option('--limit <n>', 'at most so many', parseCount, defaultLimit)
    .option('--values', 'states and replies, too')
  define(
    command,
    surroundings,
    {
      examples: [
        'holdfast log 3',
        'holdfast log 3 --from 1 --limit 5 --values',
        'holdfast log 3 --json --from 1 --limit 1000',
      ],
      exits: [exitCodes.failed, ...remoteExits, exitCodes.conflict],
      more: 'It reads the stream from JetStream, from behind the nearest snapshot or from its first record on, since what a record counts for depends on those before it; the login needs the permission to. It asks no node. A broken log is exit code 1.',
    },
    async (run, given) => {
      const partition = parseWhole(given)
      const { from, to, limit, values } = command.opts<{ from?: number; to?: number; limit: number; values?: true }>()
      const session = await run.session()
      const ports = await session.jetStream()
      const id = partitionId(partition)
      const log = ports.changelog.log(id)
      const info = await log.info()
      if (info === null) {
        const { cluster } = run.settings()
        throw new HoldfastError(
          'NOT_FOUND',
          `there is no log of partition ${partition} of the cluster "${cluster}" on this server: see "holdfast partitions"`,
        )
      }
      const last = seq(Math.min(to ?? info.last, info.last))
      const wanted = seq(from ?? Math.max(info.first, last - limit + 1))
      const source = { ...ports, partition: id, log, clock: session.clock, compression: new SystemCompression() }
      let position = await judgedFrom(source, info, wanted)
      if (from !== undefined && position.seq >= from) {
        throw new HoldfastError(
          'INVALID',
          `records of partition ${partition} can be judged from ${nextSeq(position.seq)} on: of those before it not all are kept`,
        )
      }
      const first = seq(Math.max(wanted, nextSeq(position.seq)))
      const end = seq(Math.min(last, first + limit - 1))
      for await (const { seq: at, record } of log.read(nextSeq(position.seq), end)) {
        const verdict = judge(position, at, record)
        if (verdict.kind === 'broken') {
          const { first: keptFrom = 0 } = (await log.info()) ?? {}
          if (keptFrom > nextSeq(position.seq))
            throw new HoldfastError('RETRY', 'the log was trimmed while it was read')
          throw new HoldfastError('FAILED', `the log of partition ${partition} is broken: ${verdict.reason}`)
        }
        if (at >= first) print(run.output, shownRecord(at, record, verdict, values === true))
        position = verdict.position
      }
      run.output.note(summaryOf(position, info.last))
    },
  )
}

function summaryOf({ seq: at, validSeq, epoch, handedOff }: LogPosition, end: Seq): string {
  const owner = epoch === 0 ? 'never claimed' : `epoch ${epoch}${handedOff ? ', handed off' : ''}`
  return `up to ${at} of ${end}: last valid record ${validSeq}, ${owner}`
}

function shownRecord(
  at: Seq,
  bytes: Uint8Array,
  verdict: Exclude<Verdict, { kind: 'broken' }>,
  values: boolean,
): ShownRecord {
  const record = decodeRecord(bytes)
  const { kind, epoch, incarnation, time } = record
  return {
    seq: at,
    verdict: verdict.kind,
    ...(verdict.kind === 'void' ? { reason: verdict.reason } : {}),
    ...{ kind, epoch, incarnation, time },
    bytes: bytes.length,
    ...(record.kind === 'claim' ? { node: record.node } : record.kind === 'handoff' ? { node: record.to } : {}),
    ...(record.kind === 'commit'
      ? { turns: record.turns.map((turn) => shownTurn(turn, record.sessions, values)) }
      : {}),
  }
}

function shownTurn(
  { session, number, mutations, reply }: TurnRecord,
  sessions: readonly SessionMark[],
  values: boolean,
): ShownTurn {
  const by = session === null ? undefined : sessions[session]
  return {
    ...(by === undefined ? {} : { command: `${by.session}-${number}` }),
    mutations: mutations.map(({ type, key, rev, state, expiresAt }) => ({
      ...{ type, key, rev },
      change: state === undefined ? 'forgotten' : state === null ? 'deleted' : 'written',
      ...(expiresAt === null ? {} : { expiresAt }),
      ...(values && state != null ? { state: shownValue(state) } : {}),
    })),
    ...(values ? { reply: shownValue(reply) } : {}),
  }
}

/** A value that cannot be read is no reason not to show the others. */
function shownValue(bytes: Uint8Array): unknown {
  try {
    return toJson(decodeValue(bytes))
  } catch (error) {
    return `(${messageOf(error)})`
  }
}

function print(output: Output, record: ShownRecord): void {
  output.result(record, () => {
    const { seq: at, verdict, reason, kind, epoch, time, bytes, node, turns } = record
    const judged = verdict === 'valid' ? '' : output.mark('warn', `  void: ${reason}`)
    const about = node === undefined ? '' : kind === 'claim' ? ` by ${node}` : ` to ${node}`
    const when = time === 0 ? '' : `  ${new Date(time).toISOString()}`
    const head = `${at}  ${kind}${about}  epoch ${epoch}${when}  ${bytes} bytes${judged}`
    return [head, ...(turns ?? []).flatMap(turnLines)].join('\n')
  })
}

function turnLines({ mutations, reply }: ShownTurn): readonly string[] {
  const answer = reply === undefined ? '' : `  reply ${JSON.stringify(reply)}`
  if (mutations.length === 0) return [`    nothing changed${answer}`]
  return mutations.map(({ type, key, rev, change, expiresAt, state }, i) => {
    const until = expiresAt === undefined ? '' : `  until ${new Date(expiresAt).toISOString()}`
    const value = state === undefined ? '' : `  ${JSON.stringify(state)}`
    return `    ${type}/${key}  rev ${rev}  ${change}${until}${value}${i === mutations.length - 1 ? answer : ''}`
  })
}
