/** `npm run sim -- <seed> [<last seed>]`: runs seeds and shows of each what happened, of a wrong one everything. */
import { simulate } from './run.ts'

const [first = '1', last = first] = process.argv.slice(2)
let wrong = 0
for (let seed = Number(first); seed <= Number(last); seed++) {
  const { trace, faults, ...run } = await simulate(seed)
  process.stdout.write(`${JSON.stringify(run)}\n`)
  if (run.wrong.length === 0) continue
  wrong++
  process.stdout.write(`${faults.join('\n')}\n${trace}\n`)
}
process.exitCode = wrong === 0 ? 0 : 1
