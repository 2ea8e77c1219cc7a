/** The words of docs/reliability.md. */
import { fullPace } from './run.ts'

export interface Parts {
  readonly table: string
  readonly faults: string
  readonly hits: string
  readonly absent: string
  readonly violations: string
  readonly machines: string
}

export const prose = ({ table, faults, hits, absent, violations, machines }: Parts): string => `# Reliability

What was done to clusters of real processes, and what came of it. \`npm run chaos\` writes this page from
\`docs/reliability.jsonl\`, which has a line for each cluster that was struck. No figure on it is made by hand; what went wrong
stands [below](#violations). \`--anew\` replaces the lines of a fault by those of a new run; worlds in which the campaign itself was at fault
were run again.

${table}

**Callers**: how many worked at once. **Strikes**: how often the fault was done. **Operations**: what clients asked around the strikes. **Violations**: what broke a promise of
[guarantees.md](guarantees.md), each a single finding. **Wait**: of every partition that a strike took something from, the longest time
that a caller waited for an answer from there, from the strike on, its client's own repetitions included; where nothing is wrong a command
under this load takes as long as the load makes it. **Writes/s before**: acknowledged writes in the second and a half before a strike, the median of all strikes. **Answer before**: how long an answer took in that time, likewise, where it was measured: a wait has as much in it of the load.

## How

Each cluster has three nodes, each a process of its own with the settings that a user gets, on one NATS server with
[server.conf](../deploy/nats/server.conf), which sets \`sync_interval: always\`, or on three such servers with three replicas of each log. It is struck
up to ten times, and brought to rest in between: every partition has an owner and a standby.

Around every strike callers work, ${fullPace.workers.toLocaleString('en')} of them in what is measured today: they append ids to ledgers, transfer amounts between counters, put and compare-and-set entries of
a store, and read all of these. Most repeat what is \`UNKNOWN\` under its id until they know; some have half a second of patience and never
know. One caller for each partition measures waits. One watches the counters of these from the beginning to the end of the cluster.

Everything is on one machine: clients, nodes and servers share its processors and its disk.

## What counts as a violation

- An acknowledged write that is not there at the end, one that is there twice, one that was refused and is there, one that nobody sent.
- A key whose history is not linearizable: also a single read of what was not true any more.
- A sum of counters that is not the one that the transfers make.
- A change that the watcher did not see, or saw twice or out of order.
- A log that is not one valid chain, with a command twice, two writers in an epoch, or a rev missing; a node whose state is not what the
  log makes of it.
- An error that no caller has to reckon with; a node that reports a stopped partition, a hash that differs, a store set aside, or a
  handler that threw, where that is not what the fault is about; a process that ends by itself.
- A cluster that does not answer and come to rest within two minutes.

The checkers are those of [src/testing/check](../src/testing/check). That they find what is wrong has its own tests; that the campaign
hands them what they need, too: with one acknowledged write taken out of what was found it fails.

## The faults

${faults}

Some strikes hit one thing or another:

${hits}

## Not done

${absent}

## Violations

${violations}

## Machines

${machines}

\`\`\`sh
npm run chaos                                # every fault until it has its count; goes on where it was stopped
npm run chaos -- --list
npm run chaos -- --only kill pause-5s --count 20
\`\`\`
`
