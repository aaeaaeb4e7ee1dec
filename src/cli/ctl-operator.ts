import type { Command } from 'commander'
import { peerId, regionId, storeId } from '../common/ids.js'
import { peerOnStore } from '../common/region.js'
import type { PeerRef } from '../common/region.js'
import type { Operator } from '../wire/messages.js'
import { idOption, onCluster } from './ctl-command.js'
import { CommandError, printJson, printLine, usageError } from './output.js'

const kinds: Readonly<Record<string, Kind>> = {
  'add-learner': 'addLearner', 'promote-learner': 'promoteLearner', 'remove-peer': 'removePeer', 'transfer-leader': 'transferLeader',
}

type Kind = Exclude<Operator['kind'], 'splitRegion'>

interface OperatorOptions {
  readonly region: number
  readonly store: number
  readonly force?: true
}

const withPlace = (command: Command): Command => command
  .requiredOption('--region <id>', 'the region', idOption).requiredOption('--store <id>', 'the store of the replica', idOption)
  .option('--force', 'also where it costs the region its quorum; without it, PD says what would be lost')

export function addOperators(ctl: Command): void {
  const operator = ctl.command('operator').description('wishes PD passes to the leader of a region')
  withPlace(operator.command('add <kind>').description(`one of ${Object.keys(kinds).join(', ')}`))
    .action(async (word: string, _given: unknown, command: Command) => {
      const kind = kinds[word]
      if (kind === undefined) throw usageError(`"${word}" is no operator: ${Object.keys(kinds).join(', ')}`)
      await ask(command, kind, word)
    })
}

/** The two that people want most, under `region`. */
export function addReplicaCommands(region: Command): void {
  withPlace(region.command('add-peer').description('a replica on another store: it learns, then votes'))
    .action(async (_given: unknown, command: Command) => { await ask(command, 'addLearner', 'add-peer') })
  withPlace(region.command('remove-peer').description('drop the replica of a store; PD puts another one elsewhere if it can'))
    .action(async (_given: unknown, command: Command) => { await ask(command, 'removePeer', 'remove-peer') })
}

async function ask(command: Command, kind: Kind, word: string): Promise<void> {
  const given = command.optsWithGlobals<OperatorOptions>()
  await onCluster(command, async ({ pd }, options) => {
    const route = await pd.getRegionById(regionId(given.region))
    if (route === undefined) throw new CommandError('RegionNotFound', `PD knows no region ${given.region}`)
    const existing = peerOnStore(route.region, storeId(given.store))
    if (kind !== 'addLearner' && existing === undefined) {
      throw new CommandError('InvalidArgument', `region ${given.region} has no replica on store ${given.store}`)
    }
    // PD gives a new replica its id.
    const peer: PeerRef = existing ?? { peerId: peerId(0), storeId: storeId(given.store), role: 'learner' }
    const place = { regionId: route.region.regionId, epoch: route.region.epoch }
    await pd.addOperator({ kind, ...place, peer, ...(given.force === true && { isForced: true }) })
    if (options.json) printJson({ ok: true, kind, region: given.region, store: given.store, ...(existing && { peer: existing.peerId }) })
    else printLine(`PD will ask the leader of region ${given.region}: ${word} on store ${given.store}`)
  })
}
