/**
 * Named pieces of bytes that outlive every node: what snapshots are made of. An object is written once, whole, and never changed.
 *
 * B1. `put` resolves when the object is stored as durably as a log is. From then on every reader finds it, until it is deleted.
 * B2. An object is there whole or not at all: of a `put` that failed, or whose process died, no reader ever sees a part.
 * B3. A name has one content: `put` of the same bytes again resolves, of other bytes throws `CONFLICT`. Of several at once that differ
 *     one is stored.
 * B4. `RETRY` means that nothing was stored or deleted. `UNKNOWN` means that nobody can say: it may be, or may be later. The same call
 *     again finds out.
 * B5. `get` and `list` answer as the server's leader has it. `get` gives what was put, checked by its checksum, or throws `INTERNAL`
 *     naming the object; what is not there is `null`.
 * B6. Bytes that a `put` without an end has left are no object: nothing shows them, and `sweep` removes them.
 *
 * Names: tokens of `[A-Za-z0-9_-]+` joined by `.`, at most 100 characters: as a file, as a subject and in a URL each is one name, and the
 * same. An object has at most 8 MiB, since it is sent and checked in one piece; what is larger is cut by whoever puts it.
 */
export interface Objects {
  /**
   * Takes the bytes before it returns. Throws `CONFLICT` (B3), `RETRY`, `UNKNOWN` (B4), `INVALID` for a name that is none, for too many
   * bytes, and for a missing permission.
   */
  put(name: string, bytes: Uint8Array): Promise<void>
  /** The bytes are the caller's own. Throws `INTERNAL` where they are damaged (B5), `RETRY` where nobody can answer now. */
  get(name: string): Promise<Uint8Array | null>
  /** All objects whose name begins with `prefix` (a whole number of tokens, or empty), by the order of their names. Throws `RETRY`. */
  list(prefix: string): Promise<readonly ObjectEntry[]>
  /** What is not there is deleted already. Throws `RETRY` or `UNKNOWN` (B4). */
  delete(name: string): Promise<void>
  /**
   * Removes what puts that did not end have left behind (B6), and says how many such remains. Spares what may still be under way: those
   * of the last hour. Throws `RETRY` or `UNKNOWN`.
   */
  sweep(): Promise<number>
  close(): Promise<void>
}

export interface ObjectEntry {
  readonly name: string
  readonly bytes: number
}
