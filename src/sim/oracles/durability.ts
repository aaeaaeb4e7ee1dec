import type { RegionId } from '../../common/ids.js'
import type { Message } from '../../raft/types.js'
import { MessageType } from '../../raft/types.js'
import { OracleFailure } from '../failure.js'
import type { LogView } from './raft-safety.js'

const file = 'sim/oracles/durability.ts'

/** Persist before you speak (Ongaro §3.8): judged when a message leaves, against what would survive a crash right then. */
export function checkPromise(node: string, regionId: RegionId, message: Message, durable: LogView): void {
  if (message.reject) return
  const { type, term } = message
  if (type !== MessageType.AppendResponse && type !== MessageType.VoteResponse) return
  const kept = durable.region(regionId)
  const hard = kept?.hardState
  const fail = (facts: string): never => {
    throw new OracleFailure('persisted before promised', file, `region ${regionId}: ${node} ${facts}`, [regionId])
  }
  if (hard === undefined || hard.term < term) {
    fail(`answers in term ${term}, durable is ${hard === undefined ? 'nothing' : `term ${hard.term}`}`)
    return
  }
  // A later term has replaced what was promised: the answer is late, not wrong.
  if (hard.term > term) return
  if (type === MessageType.VoteResponse && hard.vote !== message.to) {
    fail(`votes for ${message.to} in term ${term}, durable is a vote for ${hard.vote}`)
  }
  if (type === MessageType.AppendResponse && (kept?.lastIndex ?? 0) < message.index) {
    fail(`acknowledges index ${message.index} in term ${term}, durable is ${kept?.lastIndex ?? 0}`)
  }
}
