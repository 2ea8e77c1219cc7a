/**
 * Where a log begins that takes the place of a lost one. Pure.
 *
 * RS1. Beyond every sequence that the lost log can have given: an append that was meant for that one is refused, whenever it arrives, since no
 *      number fits (C1). Links alone would make it void, but its sender would take the acknowledgement for its own (L6).
 * RS2. So to every reader the new log is one that was trimmed: a store begins from the seed, and a cursor from before it gets a reset (E2).
 */
import { seq, type Seq } from '../protocol/ids.ts'

/** A trillion: no log gives so many beyond what any of its snapshots, stores and readers know. */
const leap = 1_000_000_000_000

/** `known`: the highest sequence of the lost log that anybody knows. */
export const beginBehind = (known: Seq): Seq => seq((Math.floor(known / leap) + 1) * leap + 1)
