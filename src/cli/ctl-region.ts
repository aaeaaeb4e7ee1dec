import type { Command } from 'commander'
import { fromUtf8, toHex, utf8 } from '../common/bytes.js'
import { peerId, regionId, storeId } from '../common/ids.js'
import { decodeBytes } from '../common/memcomparable.js'
import { peerOnStore } from '../common/region.js'
import type { PeerRef, Region } from '../common/region.js'
import { engineKeyOf, wireKey } from '../rawkv/codec.js'
import type { Connection } from '../server/connection.js'
import type { PeerInfo, RegionRoute, Requests, RequestContext, Responses } from '../wire/messages.js'
import { bytesArgument, integerOption } from './arguments.js'
import { allRegions, idOption, onCluster } from './ctl-command.js'
import { addReplicaCommands } from './ctl-operator.js'
import { CommandError, printJson, printLine, printTable, showBytes, usageError } from './output.js'

interface RegionOptions {
  readonly key?: string
  readonly id?: number
  readonly region?: number
  readonly toStore?: number
  readonly limit?: number
  readonly hex?: true
  readonly keyspace: number
}

const attempts = 20
const pauseMs = 100

export function addRegions(ctl: Command): void {
  const region = ctl.command('region').description('regions: their range, leader and replicas')
    .option('--key <key>', 'the region of a key').option('--id <id>', 'one region', idOption)
    .option('--limit <count>', 'regions at most', integerOption(1, 1e9))
    .option('--hex', 'the key is hex').option('--keyspace <id>', 'of the key', integerOption(0, 0xff_ffff), 0)
    .action(async (given: RegionOptions, command: Command) => {
      await onCluster(command, async ({ pd }, options) => {
        if (given.key !== undefined && given.id !== undefined) throw usageError('give --key or --id, not both')
        const routes = await chosen(pd, given)
        if (options.json) printJson({ regions: routes.map(regionJson) })
        else printRegions(routes)
      })
    })
  region.command('list').description('the same')
    .action(async (_given: unknown, command: Command) => {
      await onCluster(command, async ({ pd }, options) => {
        const routes = (await allRegions(pd)).slice(0, command.optsWithGlobals<RegionOptions>().limit)
        if (options.json) printJson({ regions: routes.map(regionJson) })
        else printRegions(routes)
      })
    })
  addShow(region)
  addSplit(region)
  addTransfer(region)
  addReplicaCommands(region)
}

/** One region, with what each of its replicas says of itself. */
function addShow(region: Command): void {
  region.command('show').argument('<id>', 'the region', idOption).description('a region and the state of each of its replicas')
    .action(async (id: number, _given: unknown, command: Command) => {
      await onCluster(command, async (connection, options) => {
        const route = await mustRegion(connection.pd, id)
        const replicas = await Promise.all(route.region.peers.map(peer => replicaOf(connection, route, peer)))
        if (options.json) return printJson({ ...regionJson(route), replicas })
        printRegions([route])
        printLine('')
        const head = ['store', 'peer', 'is', 'raft', 'term', 'committed', 'applied', 'log', 'lease']
        printTable(head, replicas.map(({ store, peer, role, raft }) =>
          [store, peer, role, ...raft === null ? ['no answer'] : [raft.role, raft.term, raft.committed, raft.applied,
            `${raft.firstIndex}..${raft.lastIndex}`, raft.leaseValid ? 'valid' : '']]))
      })
    })
}

interface Replica { readonly store: number; readonly peer: number; readonly role: string; readonly raft: PeerInfo | null }

async function replicaOf(connection: Connection, { region }: RegionRoute, peer: PeerRef): Promise<Replica> {
  const address = (await connection.pd.getStores()).find(store => store.storeId === peer.storeId)?.address
  const answer = address === undefined ? undefined
    : await connection.channel(address).call('ListPeers', { regionId: region.regionId }, { timeoutMs: 1_000 })
  const raft = answer?.answered === true && answer.result.ok ? answer.result.value.peers[0] ?? null : null
  return { store: peer.storeId, peer: peer.peerId, role: peer.role, raft }
}

async function chosen(pd: Connection['pd'], given: RegionOptions): Promise<readonly RegionRoute[]> {
  if (given.id !== undefined) return [await mustRegion(pd, given.id)]
  if (given.key === undefined) return (await allRegions(pd)).slice(0, given.limit)
  const route = await pd.getRegion(engineKey(given.key, given))
  if (route === undefined) throw new CommandError('NotFound', 'PD knows no region for this key yet')
  return [route]
}

const engineKey = (text: string, options: RegionOptions): Uint8Array =>
  engineKeyOf(wireKey(options.keyspace, options.hex ? bytesArgument(text, true) : utf8(text)))

async function mustRegion(pd: Connection['pd'], id: number): Promise<RegionRoute> {
  const route = await pd.getRegionById(regionId(id))
  if (route === undefined) throw new CommandError('RegionNotFound', `PD knows no region ${id}`)
  return route
}

/** A boundary as people know it: the user key, with its keyspace when that is not 0. */
function boundText(engine: Uint8Array, open: string): string {
  if (engine.length === 0) return open
  const plain = decodeBytes(engine)?.plain
  if (plain === undefined || plain.length < 4 || plain[0] !== 0x72) return `x'${toHex(engine)}'`
  const keyspace = plain[1]! << 16 | plain[2]! << 8 | plain[3]!
  return `${keyspace === 0 ? '' : `${keyspace}:`}${showBytes(plain.subarray(4))}`
}

function regionJson({ region, leader, heard }: RegionRoute): Record<string, unknown> {
  const userKey = (engine: Uint8Array): string | null => {
    const plain = engine.length === 0 ? undefined : decodeBytes(engine)?.plain
    return plain === undefined ? null : fromUtf8(plain.subarray(4))
  }
  return {
    id: region.regionId, startKey: toHex(region.startKey), endKey: toHex(region.endKey), start: userKey(region.startKey),
    end: userKey(region.endKey), epoch: region.epoch, leaderStore: leader?.storeId ?? null, leader: leader ?? null,
    heard: heard === undefined ? null : { store: heard.storeId, msAgo: heard.msAgo }, peers: region.peers,
  }
}

/** A leader that PD does not believe in any more is shown as what was heard last. */
function leaderText({ leader, heard }: RegionRoute): string {
  if (leader !== undefined) return `store ${leader.storeId}`
  return heard === undefined ? 'none' : `none (store ${heard.storeId}, ${Math.round(heard.msAgo / 1_000)} s ago)`
}

function printRegions(routes: readonly RegionRoute[]): void {
  printTable(['id', 'from', 'to', 'epoch', 'leader', 'replicas'], routes.map(({ region, leader, heard }) => [
    region.regionId, boundText(region.startKey, '-∞'), boundText(region.endKey, '∞'), `${region.epoch.confVer}:${region.epoch.version}`,
    leaderText({ region, leader, ...(heard && { heard }) }),
    region.peers.map(peer => `store ${peer.storeId}${peer.role === 'voter' ? '' : ` (${peer.role})`}`).join(', '),
  ]))
}

function addSplit(region: Command): void {
  region.command('split').description('cut a region at a key, or in about two halves')
    .option('--key <key>', 'first key of the right part').option('--region <id>', 'the region to halve', idOption)
    .option('--hex', 'the key is hex').option('--keyspace <id>', 'of the key', integerOption(0, 0xff_ffff), 0)
    .action(async (_given: RegionOptions, command: Command) => {
      const given = command.optsWithGlobals<RegionOptions>()
      if (given.key === undefined && given.region === undefined) throw usageError('give --key KEY or --region ID')
      await onCluster(command, async (connection, options) => {
        const key = given.key === undefined ? undefined : engineKey(given.key, given)
        const find = async (): Promise<RegionRoute | undefined> => given.region === undefined
          ? await connection.pd.getRegion(key ?? new Uint8Array(0)) : await mustRegion(connection.pd, given.region)
        const { regions } = await callLeader(connection, find, 'SplitRegion',
          context => ({ context, keys: key === undefined ? [] : [key] }))
        const routes = await routesOf(connection.pd, regions)
        if (options.json) printJson({ regions: routes.map(regionJson) })
        else printRegions(routes)
      })
    })
}

/** The new regions with their leaders: they are elected, and PD hears of them, in a moment. */
async function routesOf(pd: Connection['pd'], regions: readonly Region[]): Promise<readonly RegionRoute[]> {
  const one = async (region: Region): Promise<RegionRoute> => {
    for (let attempt = 0; attempt < attempts; attempt++) {
      const route = await pd.getRegionById(region.regionId)
      if (route?.leader !== undefined) return route
      await new Promise(resolve => setTimeout(resolve, pauseMs))
    }
    return { region, leader: undefined }
  }
  return await Promise.all(regions.map(one))
}

function addTransfer(region: Command): void {
  region.command('transfer-leader').description('hand a region over to the replica on another store')
    .requiredOption('--region <id>', 'the region', idOption).requiredOption('--to-store <id>', 'its new leader', idOption)
    .action(async (_given: RegionOptions, command: Command) => {
      const { region: id = 0, toStore = 0 } = command.optsWithGlobals<RegionOptions>()
      await onCluster(command, async (connection, options) => {
        const { region: found } = await mustRegion(connection.pd, id)
        if (peerOnStore(found, storeId(toStore)) === undefined) {
          throw new CommandError('InvalidArgument', `region ${id} has no replica on store ${toStore}`)
        }
        await callLeader(connection, () => mustRegion(connection.pd, id), 'TransferLeader',
          context => ({ context, toStoreId: storeId(toStore) }))
        if (options.json) printJson({ ok: true, region: id, toStore })
        else printLine(`region ${id} goes to store ${toStore}`)
      })
    })
}

/** Asks the leader of a region; looks again while leadership or boundaries move. */
async function callLeader<N extends 'SplitRegion' | 'TransferLeader'>(
  connection: Connection, find: () => Promise<RegionRoute | undefined>, name: N,
  request: (context: RequestContext) => Requests[N],
): Promise<Responses[N]> {
  let reason = 'the region has no leader'
  for (let attempt = 0; attempt < attempts; attempt++) {
    if (attempt > 0) await new Promise(resolve => setTimeout(resolve, pauseMs))
    const route = await find()
    const leader = route?.leader
    if (route === undefined || leader === undefined) continue
    const stores = await connection.pd.getStores()
    const address = stores.find(store => store.storeId === leader.storeId)?.address
    if (address === undefined) continue
    const { region } = route
    const context = { regionId: region.regionId, epoch: region.epoch, peerId: peerId(leader.peerId), timeoutMs: 5_000 }
    const answer = await connection.channel(address).call(name, request(context), { timeoutMs: 5_000 })
    if (!answer.answered) reason = `${address}: ${answer.failure.reason}`
    else if (answer.result.ok) return answer.result.value as Responses[N]
    else if (!transient.has(answer.result.error.kind)) {
      const { error } = answer.result
      throw new CommandError(error.kind, `store ${leader.storeId} refuses: ${'reason' in error ? error.reason : error.kind}`)
    } else reason = 'reason' in answer.result.error ? answer.result.error.reason : answer.result.error.kind
  }
  throw new CommandError('Timeout', `gave up: ${reason}`)
}

const transient = new Set(['NotLeader', 'EpochNotMatch', 'ServerIsBusy', 'RegionNotFound', 'StaleCommand', 'ReadIndexNotReady'])
