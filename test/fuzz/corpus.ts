/**
 * Real messages, by what they are: what mutations begin from. They were captured from honest traffic (capture.ts) and are kept in
 * test/fixtures/corpus, with what once did harm (`found`).
 */
import { readdirSync, readFileSync } from 'node:fs'

export const corpusFolder = new URL('../fixtures/corpus/', import.meta.url)

/** What a message is, whatever its subject. */
export const forms = [
  'request-frame',
  'reply-frame',
  'scan-request',
  'scan-page',
  'watch-request',
  'page',
  'committed',
  'gossip',
  'view',
  'control',
  'control-reply',
  'report',
  'order',
  'order-reply',
  'status',
  'call',
  'call-reply',
  'list-request',
  'change',
  'task-input',
  'lease',
  'table',
  'record',
] as const
export type Form = (typeof forms)[number]

export type Corpus = Readonly<Record<Form, readonly Buffer[]>>

/** A file for each form: messages in base64. */
export function readCorpus(): Corpus {
  const found = new Set(readdirSync(corpusFolder))
  const read = (name: string) =>
    found.has(name) ? (JSON.parse(readFileSync(new URL(name, corpusFolder), 'utf8')) as readonly string[]) : []
  return Object.fromEntries(
    forms.map((form) => [form, read(`${form}.json`).map((text) => Buffer.from(text, 'base64'))]),
  ) as unknown as Corpus
}
