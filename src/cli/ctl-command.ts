import type { Command } from 'commander'
import { physicalOf, storeId } from '../common/ids.js'
import type { Connection } from '../server/connection.js'
import type { StoreMeta } from '../wire/messages.js'
import { addressesOption, durationOption, integerOption } from './arguments.js'
import { withConnection } from './connection.js'
import { addOperators } from './ctl-operator.js'
import { addMembers } from './ctl-member.js'
import { addRegions } from './ctl-region.js'
import { addStatus, silentStores, stateText } from './ctl-status.js'
import { CommandError, printJson, printLine, printTable } from './output.js'

export interface CtlOptions {
  readonly pd: readonly string[]
  readonly timeout: number
  readonly json?: true
}

export const idOption = integerOption(1, Number.MAX_SAFE_INTEGER)

const help = `
Examples:
  karst ctl status                                  is all well?
  karst ctl store                                   stores and how much each holds
  karst ctl region                                  regions, leaders, replicas
  karst ctl region --key hello                      the region of a key
  karst ctl region show 4                           what each of its replicas says
  karst ctl region split --key m                    cut the region of the key there
  karst ctl region split --region 4                 cut it in about two halves
  karst ctl region transfer-leader --region 4 --to-store 2
  karst ctl region add-peer --region 4 --store 5
  karst ctl region remove-peer --region 4 --store 2
  karst ctl operator add promote-learner --region 4 --store 5
  karst ctl store offline 3                         move its replicas away; 'up' takes it back
  karst ctl store tombstone 3                       bury it; says what would be lost, --force does it all the same
  karst ctl member                                  members of PD
  karst ctl member replace pd-2                     a lost member out, an empty one in under its name
  karst ctl tso

Exit codes: 0 done, 1 refused, not found or not well (status), 2 wrong usage.`

export function register(program: Command): void {
  const ctl = program.command('ctl').description('Look at and steer a cluster').addHelpText('after', help)
  addStatus(ctl)
  addStores(ctl)
  addRegions(ctl)
  addMembers(ctl)
  addTso(ctl)
  addOperators(ctl)
  addCommonOptions(ctl)
}

function addCommonOptions(command: Command): void {
  for (const child of command.commands) {
    addCommonOptions(child)
    child
      .option('--pd <addresses>', 'client addresses of PD members, host:port', addressesOption, ['127.0.0.1:2379'])
      .option('--timeout <duration>', 'how long to try', durationOption, 10_000)
      .option('--json', 'one JSON object on stdout')
  }
}

/** Options may stand before or behind the inner command's name. */
export async function onCluster<T>(command: Command, run: (connection: Connection, options: CtlOptions) => Promise<T>): Promise<T> {
  const options = command.optsWithGlobals<CtlOptions>()
  return await withConnection({ pd: options.pd, timeoutMs: options.timeout }, connection => run(connection, options))
}

const storeJson = (store: StoreMeta): Record<string, unknown> => ({
  id: store.storeId, address: store.address, statusAddress: store.statusAddress, state: store.state, labels: store.labels,
  version: store.version, startedAt: new Date(store.startedAtWallMs).toISOString(),
})

const labelsText = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels).map(([name, value]) => `${name}=${value}`).join(',')

/** Every region PD knows, in key order. */
export async function allRegions(pd: Connection['pd']): Promise<Awaited<ReturnType<Connection['pd']['scanRegions']>>> {
  const found: (typeof page)[number][] = []
  let start: Uint8Array = new Uint8Array(0)
  let page: Awaited<ReturnType<Connection['pd']['scanRegions']>>
  do {
    page = await pd.scanRegions(start, new Uint8Array(0), 1_000)
    found.push(...page)
    start = page.at(-1)?.region.endKey ?? new Uint8Array(0)
  } while (page.length > 0 && start.length > 0)
  return found
}

function addStores(ctl: Command): void {
  const store = ctl.command('store').description('the stores; with an id, one of them').argument('[id]', 'store id', idOption)
    .action(async (id: number | undefined, _options: unknown, command: Command) => {
      await onCluster(command, async (connection, options) => {
        const { pd } = connection
        const [all, regions] = await Promise.all([pd.getStores(), allRegions(pd)])
        const stores = all.filter(one => id === undefined || one.storeId === id)
        if (id !== undefined && stores.length === 0) throw new CommandError('NotFound', `there is no store ${id}`)
        const silent = new Set<number>((await silentStores(connection, stores)).map(one => one.storeId))
        const rows = stores.map(one => ({
          ...storeJson(one), answers: one.state === 'tombstone' ? null : !silent.has(one.storeId),
          leaders: regions.filter(route => route.leader?.storeId === one.storeId).length,
          regions: regions.filter(route => route.region.peers.some(peer => peer.storeId === one.storeId)).length,
        }))
        if (options.json) printJson({ stores: rows })
        else {
          printTable(['id', 'address', 'state', 'leaders', 'regions', 'labels', 'started'], stores.map((one, at) =>
            [one.storeId, one.address, stateText(one, silent), rows[at]?.leaders, rows[at]?.regions, labelsText(one.labels),
              new Date(one.startedAtWallMs).toISOString()]))
        }
      })
    })
  const states = [['offline', 'move its replicas away and take it out'], ['up', 'take an offline store back'],
    ['tombstone', 'bury an offline store for good']] as const
  for (const [state, about] of states) {
    const child = store.command(`${state} <id>`).description(about)
    if (state === 'tombstone') child.option('--force', 'although replicas are lost; without it, what would be lost is said')
    child.action(async (text: string, given: { readonly force?: true }, command: Command) => {
      const id = idOption(text)
      await onCluster(command, async ({ pd }, options) => {
        const known = (await pd.getStores()).find(one => one.storeId === id)
        if (known === undefined) throw new CommandError('NotFound', `there is no store ${id}`)
        await pd.putStore({ ...known, storeId: storeId(id), state }, state === 'up' || given.force === true)
        if (options.json) printJson({ ok: true, id, state })
        else printLine(`store ${id} is ${state}`)
      })
    })
  }
}

function addTso(ctl: Command): void {
  ctl.command('tso').description('a timestamp, and what it is made of').action(async (_options: unknown, command: Command) => {
    await onCluster(command, async ({ pd }, options) => {
      const ts = await pd.tso(1)
      const physicalMs = physicalOf(ts)
      const view = { ts: ts.toString(), physical: new Date(physicalMs).toISOString(), physicalMs, logical: Number(ts & 0x3ffffn) }
      if (options.json) printJson(view)
      else printLine(`${view.ts}  ${view.physical} logical ${view.logical}`)
    })
  })
}
