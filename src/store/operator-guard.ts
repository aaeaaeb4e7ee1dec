import type { Operator } from '../wire/messages.js'
import type { PeerId } from '../common/ids.js'
import { storeLimits } from './config.js'
import type { Peer } from './peer.js'

const majorityOf = (voters: number): number => Math.floor(voters / 2) + 1

/**
 * The leader knows best who answers and who has what: it looks again at what PD wishes, with the rules of PD's checker.
 * @param silentMsMax  a replica that was not heard for longer does not count
 * @returns why the wish is not carried out, this time
 */
export function operatorMistake(peer: Peer, operator: Operator, nowMs: number, silentMsMax: number): string | undefined {
  if (operator.kind === 'splitRegion') return undefined
  const { peers } = peer.region!
  const subject = peers.find(one => one.peerId === operator.peer.peerId)
  const isForced = operator.isForced === true
  const voters = peers.filter(one => one.role === 'voter')
  const good = (ids: readonly { readonly peerId: PeerId }[]): number =>
    ids.filter(one => peer.answers(one.peerId, nowMs, silentMsMax) && isCaughtUp(peer, one.peerId)).length
  switch (operator.kind) {
    case 'addLearner': {
      const there = peers.find(one => one.storeId === operator.peer.storeId)
      return there === undefined && subject === undefined ? undefined : 'the store, or the region, has such a peer already'
    }
    case 'promoteLearner': {
      if (subject?.role !== 'learner') return 'it is no learner'
      if (!isCaughtUp(peer, subject.peerId)) return 'the learner has not caught up'
      if (!peer.answers(subject.peerId, nowMs, silentMsMax)) return 'the learner does not answer'
      const left = good(voters) + 1
      return isForced || left >= majorityOf(voters.length + 1) ? undefined : `of ${voters.length + 1} voters ${left} would answer`
    }
    case 'removePeer': {
      if (subject?.role !== 'voter') return undefined
      const rest = voters.filter(one => one !== subject)
      const left = good(rest)
      if (rest.length === 0) return 'it is the last copy'
      return isForced || left >= majorityOf(rest.length) ? undefined : `of the ${rest.length} voters left ${left} would answer`
    }
    case 'transferLeader': return transferMistake(peer, operator.peer.peerId, nowMs, silentMsMax)
  }
}

export function transferMistake(peer: Peer, to: PeerId, nowMs: number, silentMsMax: number): string | undefined {
  const target = peer.region?.peers.find(one => one.peerId === to)
  if (target?.role !== 'voter') return 'the target does not vote'
  return peer.answers(to, nowMs, silentMsMax) ? undefined : 'the target does not answer'
}

function isCaughtUp(peer: Peer, id: PeerId): boolean {
  if (id === peer.peerId) return true
  const status = peer.node.status()
  const progress = status.progress.get(id)
  return progress !== undefined && progress.state !== 'snapshot' && progress.match + storeLimits.pendingLagEntries >= status.commit
}
