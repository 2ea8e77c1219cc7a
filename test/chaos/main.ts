/**
 * `npm run chaos`: strikes of every fault until each has had its count, and docs/reliability.md, the page about it.
 *
 * M1. What a world has found is in docs/reliability.jsonl, and on the page, when the world has ended: a campaign that is stopped goes on there. Ctrl-C ends it
 *     without the world that is under way.
 * M2. A fault that is not possible on this machine is said to be so, here and on the page; it is never passed over in silence.
 * M3. The last line is the summary. The exit is 1 where a run of this campaign has found a violation, or could not be begun.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { describeMachine } from '../../bench/machine.ts'
import { newestServer } from '../../bench/newest-server.ts'
import type { Fault } from './fault.ts'
import { faults } from './faults/index.ts'
import { parseOptions } from './options.ts'
import { pageFile, pageOf } from './page.ts'
import { addRow, readRows, resultsFile, strikesOf, writeRows, type Absence, type Row } from './results.ts'
import { fullPace, run, type Outcome } from './run.ts'

const strikesPerWorld = 10
const say = (line: string) => void process.stdout.write(`${line}\n`)
const minutes = (ms: number) => `${(ms / 60_000).toFixed(1)} min`

const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort())

const { only, count, anew, list, page } = parseOptions(process.argv.slice(2), faults)
const wanted = faults.filter(({ name }) => only.length === 0 || only.includes(name))

if (list === true) {
  for (const fault of faults) say(`${fault.name.padEnd(20)} ${String(fault.count).padStart(4)}  ${fault.what}`)
} else {
  const server = await newestServer()
  process.env['NATS_SERVER_BIN'] = server.path
  if (page === true) await writePage()
  else await campaign(server.version).catch(endIfInterrupted)
}

async function writePage(): Promise<void> {
  writeFileSync(pageFile, await pageOf(faults, readRows(resultsFile)))
}

/** What was under way in the world that was given up may still wait for something that does not come any more. */
function endIfInterrupted(error: unknown): void {
  if (!interrupted.signal.aborted) throw error
  say('interrupted: what is on the page is what was found before')
  process.exit(130)
}

async function campaign(server: string): Promise<void> {
  const begunMs = performance.now()
  const [machine = '', system = ''] = (await describeMachine(server, tmpdir())).split('\n')
  const circumstances = {
    server,
    node: process.version.slice(1),
    machine: `${machine}, ${system.split(', ')[0]}`,
    commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim(),
  }
  const note = async (fault: Fault, found: Outcome | Pick<Absence, 'absent'>) => {
    addRow(resultsFile, { fault: fault.name, ...circumstances, date: new Date().toISOString().slice(0, 10), ...found })
    await writePage()
  }
  const isOf = (row: Row, fault: Fault) => row.fault === fault.name && row.server === server
  if (anew === true) {
    writeRows(
      resultsFile,
      readRows(resultsFile).filter((row) => !wanted.some((fault) => isOf(row, fault))),
    )
  }
  const totals = { strikes: 0, operations: 0, violations: 0, absent: 0, unbegun: 0 }
  for (const fault of wanted) {
    const missing = fault.needs?.map(({ missing }) => missing()).find((reason) => reason !== undefined)
    if (missing !== undefined) {
      say(`${fault.name}: not possible here: ${missing}`)
      totals.absent++
      if (!readRows(resultsFile).some((row) => isOf(row, fault))) await note(fault, { absent: missing })
      continue
    }
    for (;;) {
      const first = strikesOf(readRows(resultsFile), fault.name, server)
      const strikes = Math.min(fault.strikesPerWorld ?? strikesPerWorld, (count ?? fault.count) - first)
      if (strikes <= 0) break
      say(`${fault.name}: ${first} of ${count ?? fault.count}, ${minutes(performance.now() - begunMs)}`)
      const pace = { ...fullPace, workers: fault.callers ?? fullPace.workers }
      const options = { fault, first, strikes, pace, say, signal: interrupted.signal }
      const outcome = await run(options).catch((error: unknown) => {
        interrupted.signal.throwIfAborted()
        say(`${fault.name}: could not be begun: ${String(error)}`)
      })
      if (outcome === undefined) {
        totals.unbegun++
        break
      }
      await note(fault, outcome)
      totals.strikes += outcome.strikes
      totals.operations += outcome.operations
      totals.violations += outcome.violations.length
      for (const violation of outcome.violations) say(`VIOLATION ${fault.name}: ${violation}`)
      // Else it would never have its count.
      if (outcome.strikes === 0) break
    }
  }
  const { strikes, operations, violations, absent, unbegun } = totals
  say(
    `${strikes} strikes, ${operations} operations, ${violations} violations, ${absent} faults not possible here, ${unbegun} not begun, ` +
      `${minutes(performance.now() - begunMs)}, nats-server ${server}`,
  )
  process.exitCode = violations + unbegun > 0 ? 1 : 0
}
