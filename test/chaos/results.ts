/**
 * What campaigns have found, a line of JSON for each world: docs/reliability.jsonl. A campaign that was stopped goes on behind what is there.
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Outcome } from './run.ts'

export const resultsFile = fileURLToPath(new URL('../../docs/reliability.jsonl', import.meta.url))

interface Circumstances {
  readonly fault: string
  /** Of the nats-server. */
  readonly server: string
  readonly node: string
  readonly machine: string
  /** Of the source. */
  readonly commit: string
  /** ISO, the day alone. */
  readonly date: string
}

/** Of one world. */
export interface Finding extends Circumstances, Omit<Outcome, 'usualMs'> {
  /** Rows of before 2026-11-28 do not have it. */
  readonly usualMs?: Outcome['usualMs']
}

/** The fault is not possible on this machine. */
export interface Absence extends Circumstances {
  readonly absent: string
}

export type Row = Finding | Absence

export const isFinding = (row: Row): row is Finding => !('absent' in row)

export function readRows(file: string): readonly Row[] {
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Row)
}

export const addRow = (file: string, row: Row): void => appendFileSync(file, `${JSON.stringify(row)}\n`)

export const writeRows = (file: string, rows: readonly Row[]): void =>
  writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''))

/** Of a fault with a server, in all worlds so far. */
export const strikesOf = (rows: readonly Row[], fault: string, server: string): number =>
  rows
    .filter(isFinding)
    .filter((row) => row.fault === fault && row.server === server)
    .reduce((sum, { strikes }) => sum + strikes, 0)
