/** deploy/compose.yaml as a program reads it: aliases and merges resolved. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { root } from '../docs/markdown.ts'

export interface Service {
  readonly image: string
  readonly build?: { readonly context: string; readonly dockerfile: string }
  readonly command: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly ports?: readonly string[]
  readonly volumes?: readonly string[]
  readonly restart: string
  readonly read_only: boolean
  readonly cap_drop: readonly string[]
  readonly security_opt: readonly string[]
  readonly stop_grace_period?: string
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean }
}

export interface ComposeFile {
  readonly name: string
  readonly services: Readonly<Record<string, Service>>
  readonly volumes: Readonly<Record<string, null>>
}

export const composeFile = (): ComposeFile =>
  parse(readFileSync(join(root, 'deploy/compose.yaml'), 'utf8'), { merge: true }) as ComposeFile

export const natsServices = ['nats-1', 'nats-2', 'nats-3'] as const
export const nodeServices = ['node-1', 'node-2', 'node-3'] as const
