/** Chance. Only adapters know the real one; the simulator's is seeded. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number
  /** 22 characters of `[A-Za-z0-9]`, about 128 bits: names of sessions, incarnations, generations, inboxes. */
  id(): string
}
