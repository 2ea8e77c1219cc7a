/**
 * Draws the rates of a run over the operations in flight: docs/performance.json, the last line of a run with `--json`, as
 * docs/performance.svg.
 *
 *   npm run bench:plot
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../examples/support/child.ts'
import type { FiguresJson } from './json.ts'
import { drawRates } from './rates-plot.ts'

const figures = JSON.parse(readFileSync(join(root, 'docs/performance.json'), 'utf8')) as FiguresJson
writeFileSync(join(root, 'docs/performance.svg'), drawRates(figures))
