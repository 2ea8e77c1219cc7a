/** How many snapshots a node cuts at a time (K3 of keeper.ts): who gets no slot asks again later. */
export class CutSlots {
  #free: number

  constructor(slots = 1) {
    this.#free = slots
  }

  /** `false`: all are taken. */
  take(): boolean {
    if (this.#free === 0) return false
    this.#free--
    return true
  }

  release(): void {
    this.#free++
  }
}
