/**
 * Which faults began while which steps of the protocol were under way, on the node that they hit.
 *
 * C1. A pair counts when the fault has an effect and the step is under way at that moment, not when it was hoped for.
 * C2. A pair that cannot exist says why. Every other one has to be hit by a long enough run.
 */
import { faultKinds, type FaultKind } from './faults.ts'
import { steps, type Step } from './steps.ts'

/** By fault, then by step. */
export type Hits = { [fault in FaultKind]?: { [step in Step]?: number } }

const impossible: readonly { readonly fault: FaultKind; readonly step: Step; readonly reason: string }[] = [
  { fault: 'leave', step: 'leaving', reason: 'a node that leaves is not told to leave again' },
]

export class Coverage {
  readonly hits: Hits = {}

  hit(fault: FaultKind, step: Step, times = 1): void {
    const row = (this.hits[fault] ??= {})
    row[step] = (row[step] ?? 0) + times
  }

  add(hits: Hits): void {
    for (const fault of faultKinds) {
      for (const step of steps) {
        const times = hits[fault]?.[step]
        if (times !== undefined) this.hit(fault, step, times)
      }
    }
  }

  /** Pairs that can exist, and that nobody has hit, a text each. */
  missing(): readonly string[] {
    return faultKinds.flatMap((fault) =>
      steps
        .filter((step) => (this.hits[fault]?.[step] ?? 0) === 0 && reasonAgainst(fault, step) === undefined)
        .map((step) => `${fault} × ${step}`),
    )
  }

  /** Pairs that are impossible and were hit all the same: the list is wrong then. */
  contradicted(): readonly string[] {
    return impossible
      .filter(({ fault, step }) => (this.hits[fault]?.[step] ?? 0) > 0)
      .map(({ fault, step }) => `${fault} × ${step}`)
  }

  /** A line for each step, a column for each fault. */
  table(): string {
    const width = Math.max(...steps.map(({ length }) => length))
    const cell = (fault: FaultKind, step: Step) =>
      reasonAgainst(fault, step) === undefined ? String(this.hits[fault]?.[step] ?? 0) : '—'
    const lines = steps.map((step) => {
      const cells = faultKinds.map((fault) => cell(fault, step).padStart(6))
      return `${step.padEnd(width)}${cells.join('')}`
    })
    const heads = faultKinds.map((_, i) => String.fromCharCode(65 + i).padStart(6))
    const legend = faultKinds.map((fault, i) => `${String.fromCharCode(65 + i)} ${fault}`)
    const reasons = impossible.map(({ fault, step, reason }) => `— ${fault} × ${step}: ${reason}`)
    return [`${' '.repeat(width)}${heads.join('')}`, ...lines, legend.join(', '), ...reasons].join('\n')
  }
}

function reasonAgainst(fault: FaultKind, step: Step): string | undefined {
  return impossible.find((pair) => pair.fault === fault && pair.step === step)?.reason
}
