import type { Command } from 'commander'
import { addressOf } from '../client/pd-client.js'
import { PdUnavailableError } from '../pd/api.js'
import type { Connection } from '../server/connection.js'
import type { ClusterHealth, Member, StoreMeta } from '../wire/messages.js'
import { onCluster } from './ctl-command.js'
import { exitCodes, printJson, printLine, printTable } from './output.js'

const askMsMax = 1_500

/** One sentence about what is wrong; `kind` is a word for machines. */
interface Problem {
  readonly kind: string
  readonly subject: number | string
  readonly text: string
}

interface MemberView extends Member {
  readonly answers: boolean
  /** Knows a leader: what is not known of one that does not answer. */
  readonly knowsLeader: boolean
}

export function addStatus(ctl: Command): void {
  ctl.command('status').description('is all well? PD, stores and regions; exits 1 and says what is wrong when it is not')
    .action(async (_options: unknown, command: Command) => {
      await onCluster(command, async (connection, options) => {
        const members = await askMembers(connection, options.pd)
        const known = await fromPd(connection)
        const stores = known === undefined ? [] : known.stores.filter(store => store.state !== 'tombstone')
        const silent = await silentStores(connection, stores)
        const problems = [...memberProblems(members, known !== undefined), ...storeProblems(silent), ...known?.health.problems ?? []]
        const view = {
          isWell: problems.length === 0, clusterId: connection.pd.clusterId.toString(), members, stores: stores.length,
          storesWithoutAnswer: silent.map(store => store.storeId), health: known?.health ?? null,
          problems, problemCount: problems.length + (known === undefined ? 0 : known.health.problemCount - known.health.problems.length),
        }
        if (options.json) printJson(view)
        else print(view, stores, new Set(view.storesWithoutAnswer))
        if (!view.isWell) process.exitCode = exitCodes.failed
      })
    })
}

/** Each member for itself: one that leads says nothing about the others. @throws PdUnavailableError when none answers */
async function askMembers(connection: Connection, addresses: readonly string[]): Promise<readonly MemberView[]> {
  const asked = new Map<string, Promise<readonly Member[] | undefined>>()
  const ask = (address: string): Promise<readonly Member[] | undefined> => {
    const known = asked.get(address) ?? connection.channel(address).call('GetMembers', {}, { timeoutMs: askMsMax })
      .then(answer => answer.answered && answer.result.ok ? answer.result.value.members : undefined)
    asked.set(address, known)
    return known
  }
  const lists = (await Promise.all(addresses.map(ask))).filter(list => list !== undefined)
  // Who named no leader may know less than one who does.
  const members = lists.find(list => list.some(member => member.isLeader)) ?? lists[0]
  if (members === undefined) throw new PdUnavailableError(`GetMembers: none of ${addresses.join(', ')} answers`)
  return await Promise.all(members.map(async member => {
    // A sole member may not know its own address: it is where we asked.
    const urls = member.clientUrls.length > 0 ? member.clientUrls.map(addressOf) : members.length === 1 ? addresses : []
    const answers = (await Promise.all(urls.map(ask))).filter(list => list !== undefined)
    return { ...member, answers: answers.length > 0, knowsLeader: answers.some(list => list.some(one => one.isLeader)) }
  }))
}

/** What only a leader of PD with a quorum can say; undefined when there is none. */
async function fromPd({ pd }: Connection): Promise<{ readonly stores: readonly StoreMeta[]; readonly health: ClusterHealth } | undefined> {
  try {
    const [stores, health] = await Promise.all([pd.getStores(), pd.getHealth()])
    return { stores, health }
  } catch (error) {
    if (error instanceof PdUnavailableError) return undefined
    throw error
  }
}

/** Stores that do not answer us now; PD forgets nobody before half an hour of silence. */
export async function silentStores(connection: Connection, stores: readonly StoreMeta[]): Promise<readonly StoreMeta[]> {
  const asked = stores.filter(store => store.state !== 'tombstone')
  const answers = await Promise.all(asked.map(store =>
    connection.channel(store.address).call('Ping', { sentAtMs: 0 }, { timeoutMs: askMsMax })))
  return asked.filter((_store, at) => answers[at]?.answered !== true)
}

function memberProblems(members: readonly MemberView[], hasLeader: boolean): readonly Problem[] {
  const problems: Problem[] = []
  for (const { name, answers, knowsLeader } of members) {
    if (!answers) problems.push({ kind: 'pd-member-down', subject: name, text: `PD member ${name} does not answer` })
    else if (!knowsLeader) problems.push({ kind: 'pd-member-leaderless', subject: name, text: `PD member ${name} knows no leader` })
  }
  const up = members.filter(member => member.answers).length
  const needed = Math.floor(members.length / 2) + 1
  if (up < needed) {
    const text = `PD has no quorum: ${up} of ${members.length} members answer, ${needed} are needed`
    problems.push({ kind: 'pd-without-quorum', subject: 0, text })
  }
  const text = 'PD has no leader that serves: stores and regions are not known'
  if (!hasLeader) problems.push({ kind: 'pd-without-leader', subject: 0, text })
  return problems
}

const storeProblems = (silent: readonly StoreMeta[]): readonly Problem[] => silent.map(({ storeId, address }) =>
  ({ kind: 'store-no-answer', subject: storeId, text: `store ${storeId} does not answer at ${address}` }))

interface View {
  readonly clusterId: string
  readonly members: readonly MemberView[]
  readonly health: ClusterHealth | null
  readonly problems: readonly Problem[]
  readonly problemCount: number
}

function print(view: View, stores: readonly StoreMeta[], silent: ReadonlySet<number>): void {
  const { members, health, problems } = view
  const leader = members.find(member => member.isLeader)?.name ?? 'none'
  printTable(['cluster', view.clusterId], [
    ['PD', `${members.length} ${members.length === 1 ? 'member' : 'members'}, leader ${leader}`],
    ['stores', stores.map(store => `${store.storeId} ${stateText(store, silent)}`).join(', ')],
    ['regions', health === null ? 'not known' : regionsText(health)],
  ])
  if (problems.length === 0) return
  printLine('')
  for (const { text } of problems) printLine(`! ${text}`)
  if (view.problemCount > problems.length) printLine(`! and ${view.problemCount - problems.length} more`)
}

export const stateText = (store: StoreMeta, silent: ReadonlySet<number>): string =>
  `${store.state}${silent.has(store.storeId) ? ' (no answer)' : ''}`

function regionsText(health: ClusterHealth): string {
  const counts: readonly (readonly [number, string])[] = [
    [health.withoutLeader, 'without a leader'], [health.withMissingReplicas, 'with too few replicas'],
    [health.withDownReplicas, 'with a replica that does not answer'], [health.withPendingReplicas, 'with one that lags'],
    [health.withExtraReplicas, 'with too many'],
  ]
  return [String(health.regions), ...counts.filter(([count]) => count > 0).map(([count, text]) => `${count} ${text}`)].join(', ')
}
