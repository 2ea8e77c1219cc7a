/**
 * What a test and a node process say to each other: one JSON value on each line of the process's standard input and output.
 */
import type { NodeStatus } from '../../../actors/node.ts'
import type { CreateNodeOptions, HoldfastEvent } from '../../../src/index.ts'

/** One append of a record to a changelog. */
export interface SentAppend {
  readonly partition: number
  /** The log's last sequence that it expects. */
  readonly expected: number
  /** Of the record, hex: its identity. */
  readonly hash: string
  readonly epoch: number
  readonly incarnation: string
  readonly kind: 'genesis' | 'claim' | 'commit' | 'handoff'
  /** Commands in it. */
  readonly turns: number
}

/** From the process. */
export type NodeLine =
  /** The node is a member of its cluster. */
  | { readonly is: 'ready' }
  /** It cannot be started. */
  | { readonly is: 'failed'; readonly code: string; readonly message: string }
  | { readonly is: 'event'; readonly event: HoldfastEvent }
  /** Written before the append is sent: what was sent is known also of a process that was killed. */
  | ({ readonly is: 'append' } & SentAppend)
  /** Written when the log's answer has come, before the node learns of it. */
  | { readonly is: 'settled'; readonly hash: string; readonly result: 'accepted' | 'refused' | 'unknown' }
  /** It stops itself (SIGSTOP) now, with an append in hand that is written above and not sent yet. */
  | { readonly is: 'freezing' }
  | { readonly is: 'drained' }
  | { readonly is: 'status'; readonly status: NodeStatus }

/** To the process. */
export type NodeOrder =
  | {
      readonly do: 'start'
      /** Whether each append is told: it slows the node down. */
      readonly tellAppends: boolean
      readonly options: Omit<Extract<CreateNodeOptions, { readonly embedded?: undefined }>, 'actors' | 'observer'>
    }
  /** Stop (SIGSTOP) between the next commit of a command and its sending; of any partition, or of this one. */
  | { readonly do: 'freeze'; readonly partition?: number }
  /** Lose all news of the registry's watches from now on, or no more: a watch may do that (G3). */
  | { readonly do: 'deafen'; readonly deaf: boolean }
  | { readonly do: 'status' }
  /** Have everything moved away. */
  | { readonly do: 'drain' }
  /** Close the node. The process is to end by itself then. */
  | { readonly do: 'close' }
