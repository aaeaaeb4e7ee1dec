import type { Command } from 'commander'
import { peerId, regionId, storeId } from '../common/ids.js'
import { peerOnStore } from '../common/region.js'
import type { PeerRef } from '../common/region.js'
import type { Operator } from '../wire/messages.js'
import { idOption, onCluster } from './ctl-command.js'
import { CommandError, printJson, printLine, usageError } from './output.js'

const kinds: Readonly<Record<string, Exclude<Operator['kind'], 'splitRegion'>>> = {
  'add-learner': 'addLearner', 'promote-learner': 'promoteLearner', 'remove-peer': 'removePeer', 'transfer-leader': 'transferLeader',
}

interface OperatorOptions {
  readonly region: number
  readonly store: number
}

export function addOperators(ctl: Command): void {
  const operator = ctl.command('operator').description('wishes PD passes to the leader of a region')
  operator.command('add <kind>').description(`one of ${Object.keys(kinds).join(', ')}`)
    .requiredOption('--region <id>', 'the region', idOption).requiredOption('--store <id>', 'the store of the replica', idOption)
    .action(async (word: string, given: OperatorOptions, command: Command) => {
      const kind = kinds[word]
      if (kind === undefined) throw usageError(`"${word}" is no operator: ${Object.keys(kinds).join(', ')}`)
      await onCluster(command, async ({ pd }, options) => {
        const route = await pd.getRegionById(regionId(given.region))
        if (route === undefined) throw new CommandError('RegionNotFound', `PD knows no region ${given.region}`)
        const existing = peerOnStore(route.region, storeId(given.store))
        if (kind !== 'addLearner' && existing === undefined) {
          throw new CommandError('InvalidArgument', `region ${given.region} has no replica on store ${given.store}`)
        }
        const peer: PeerRef = existing
          ?? { peerId: peerId(await pd.allocIds(1)), storeId: storeId(given.store), role: 'learner' }
        await pd.addOperator({ kind, regionId: route.region.regionId, epoch: route.region.epoch, peer })
        if (options.json) printJson({ ok: true, kind, region: given.region, store: given.store, peer: peer.peerId })
        else printLine(`PD will ask the leader of region ${given.region}: ${word} on store ${given.store}`)
      })
    })
}
