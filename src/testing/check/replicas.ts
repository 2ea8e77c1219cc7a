/**
 * Whether replicas are equal: whoever has applied a partition's log up to the same sequence has the same state hash, and so says the log.
 * Sequences count in one generation of a log: a partition that was seeded anew is another log.
 */
export interface Replica {
  /** A node, or whoever else says so. */
  readonly of: string
  readonly partition: number
  readonly seq: number
  /** Any text, as long as all write it alike. */
  readonly hash: string
}

/** Takes memory in proportion to the sequences that anybody spoke of. */
export class ReplicaCheck {
  /** A sentence for each thing that is wrong. */
  readonly wrong: string[] = []
  readonly #known = new Map<string, Replica>()
  #compared = 0

  /** Reports that had another one to be compared with: a check that compared nothing has proved nothing. */
  get compared(): number {
    return this.#compared
  }

  saw(replica: Replica): void {
    const { of, partition, seq, hash } = replica
    const place = `${partition} ${seq}`
    const known = this.#known.get(place)
    if (known === undefined) return void this.#known.set(place, replica)
    this.#compared++
    if (known.hash === hash) return
    this.wrong.push(`partition ${partition} at ${seq}: ${of} has the state ${hash}, ${known.of} has ${known.hash}`)
  }
}
