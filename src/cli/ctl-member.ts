import type { Command } from 'commander'
import { addressOf } from '../client/pd-client.js'
import { PdUnavailableError } from '../pd/api.js'
import type { Connection } from '../server/connection.js'
import type { Member } from '../wire/messages.js'
import { onCluster } from './ctl-command.js'
import { printJson, printLine, printTable } from './output.js'

const askMsMax = 1_000

const replaceHelp = `
For a member whose folder is lost, or whose machine does not come back. The others must have a leader.
  1. karst ctl member replace pd-2 --pd ADDRESSES-OF-THE-OTHERS
  2. start pd-2 as ever (the same --name and --initial-cluster, or --join CLIENT-URLS), with an empty --data-dir
It comes in under a new id: first it catches up, then it votes.`

interface Seen {
  readonly member: Member
  /** Did it answer us? */
  readonly answers: boolean
}

export function addMembers(ctl: Command): void {
  const member = ctl.command('member').description('members of PD, and which of them answer')
    .action(async (_options: unknown, command: Command) => {
      await onCluster(command, async (connection, options) => { printMembers(await look(connection, options.pd), options.json === true) })
    })
  member.command('replace <name>').description('a lost member out, a new and empty one in under its name')
    .option('--peer-urls <urls>', 'where the new one is reached by members, if not where the old one was')
    .addHelpText('after', replaceHelp)
    .action(async (name: string, _options: unknown, command: Command) => {
      const { peerUrls } = command.opts<{ peerUrls?: string }>()
      await onCluster(command, async ({ pd }, options) => {
        const memberId = await pd.replaceMember(name, peerUrls === undefined ? [] : peerUrls.split(','))
        if (options.json) printJson({ ok: true, name, memberId })
        else printLine(`${name} is out; member ${memberId} is awaited in its place: start ${name} with an empty --data-dir`)
      })
    })
}

/** What the members say that answer, with or without a leader. @throws PdUnavailableError when none does */
async function look(connection: Connection, addresses: readonly string[]): Promise<readonly Seen[]> {
  const asked = new Map<string, readonly Member[] | undefined>()
  for (let left = addresses.map(addressOf); left.length > 0;) {
    const answers = await Promise.all(left.map(async address => {
      const answer = await connection.channel(address).call('GetMembers', {}, { timeoutMs: askMsMax })
      return answer.answered && answer.result.ok ? answer.result.value.members : undefined
    }))
    left.forEach((address, at) => asked.set(address, answers[at]))
    const named = answers.flatMap(members => members ?? []).flatMap(member => member.clientUrls.map(addressOf))
    left = [...new Set(named)].filter(address => !asked.has(address))
  }
  const views = [...asked.values()].filter(members => members !== undefined)
  if (views.length === 0) throw new PdUnavailableError(`no PD member answers at ${addresses.join(', ')}`)
  // Who names a leader knows most.
  const best = views.find(members => members.some(member => member.isLeader)) ?? views[0]!
  return best.map(member => ({ member, answers: member.clientUrls.some(url => asked.get(addressOf(url)) !== undefined) }))
}

function printMembers(seen: readonly Seen[], isJson: boolean): void {
  // A leader that does not answer is what the others remember of it.
  const leads = ({ member, answers }: Seen): boolean => member.isLeader && answers
  if (isJson) {
    printJson({ members: seen.map(one => ({ ...one.member, isLeader: leads(one), answers: one.answers })) })
    return
  }
  printTable(['name', 'id', 'leader', 'answers', 'clients', 'peers'], seen.map(one => [one.member.name, one.member.memberId,
    leads(one) ? 'yes' : '', one.answers ? 'yes' : 'no', one.member.clientUrls.join(' '), one.member.peerUrls.join(' ')]))
  if (!seen.some(leads)) process.stderr.write('no member leads: PD answers nothing else until a majority of them is up\n')
}
