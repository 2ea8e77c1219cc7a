/** Figures as one JSON object: `{ "<name>": { "value": n, "unit": "…", "ratio": n? } }`. */
import type { Figure } from './figure.ts'

export type FiguresJson = Readonly<Record<string, Pick<Figure, 'value' | 'unit' | 'ratio'>>>

export const toJson = (figures: ReadonlyMap<string, Figure>): FiguresJson =>
  Object.fromEntries(
    [...figures].map(([name, { value, unit, ratio }]) => [
      name,
      { value: rounded(value), unit, ...(ratio === undefined ? {} : { ratio: rounded(ratio) }) },
    ]),
  )

/** To four digits. */
const rounded = (value: number) => Number(value.toPrecision(4))
