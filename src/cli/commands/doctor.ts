/** `doctor`: looks at everything that can be looked at, and says what to do. */
import type { Command } from 'commander'
import { knownSettings } from '../../partition/provision.ts'
import { isHoldfastError, messageOf } from '../../protocol/errors.ts'
import { checkCluster } from '../doctor/cluster.ts'
import { fail, skip, type Finding } from '../doctor/finding.ts'
import { checkMachine } from '../doctor/machine.ts'
import { checkPermissions } from '../doctor/permissions.ts'
import { checkServer, checkStreams, isEmbedded } from '../doctor/server.ts'
import { ServerLink } from '../doctor/server-link.ts'
import { exitCodes } from '../exit-codes.ts'
import type { Output } from '../output.ts'
import { define, type Run, type Surroundings } from '../run.ts'

export function addDoctor(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('doctor')
    .description('Checks this machine, the NATS server, the streams, the nodes and the login, and says what to do.')
    .option('--data <folder>', "a node's folder: whether it can be written, and how much is free")
  define(
    command,
    surroundings,
    {
      examples: [
        'holdfast doctor',
        'holdfast doctor --data ./data/node-1',
        'holdfast doctor --json | jq \'.findings[] | select(.mark == "fail")\'',
      ],
      exits: [exitCodes.failed, exitCodes.usage],
      more: 'Each line is ok, warn, fail, or skip for what cannot be known from here. Any fail is exit code 1. It changes nothing.',
    },
    async (run) => {
      const { data } = command.opts<{ data?: string }>()
      // Wrong arguments are no finding.
      run.settings()
      const findings: Finding[] = []
      const tell = (found: readonly Finding[]) => {
        findings.push(...found)
        for (const finding of found) if (!run.output.json) run.output.result(finding, lineOf(run.output, finding))
      }
      tell(await checkMachine(data))
      await checkRemote(run, tell)
      const failed = findings.some(({ mark }) => mark === 'fail')
      if (run.output.json) run.output.result({ ok: !failed, findings }, '')
      return failed ? exitCodes.failed : exitCodes.ok
    },
  )
}

async function checkRemote(run: Run, tell: (found: readonly Finding[]) => void): Promise<void> {
  let link: ServerLink | undefined
  try {
    const session = await run.session()
    link = await ServerLink.open(run.settings().nats)
    tell(await checkServer(link))
    if (!isEmbedded(link)) tell(await checkStreams(link, session.subjects, await partitionsOf(run, tell)))
    tell(await checkCluster(session))
    tell(await checkPermissions(link, session.subjects))
  } catch (error) {
    tell([fail('server', messageOf(error), 'nothing further can be checked')])
  } finally {
    await link?.close()
  }
}

/** As the registry has it; 0 where it cannot be read. */
async function partitionsOf(run: Run, tell: (found: readonly Finding[]) => void): Promise<number> {
  try {
    const { registry } = await (await run.session()).jetStream()
    return (await knownSettings(registry))?.partitions ?? 0
  } catch (error) {
    if (!isHoldfastError(error)) throw error
    tell([skip('settings', `the registry cannot be read: ${messageOf(error)}`)])
    return 0
  }
}

function lineOf(output: Output, { mark, check, says, advice }: Finding): string {
  const sign = mark === 'skip' ? 'skip' : output.mark(mark, mark.padEnd(4))
  return `${sign}  ${check.padEnd(10)}  ${says}${advice === undefined ? '' : `\n${' '.repeat(18)}→ ${advice}`}`
}
