import { Changer } from '../../../src/raft/confchange/changer.js'
import type { ChangeResult, Membership } from '../../../src/raft/confchange/changer.js'
import { parseChanges } from '../../../src/raft/confchange/conf-change.js'
import { describeProgress } from '../../../src/raft/describe.js'
import type { Progress } from '../../../src/raft/tracker/progress.js'
import { describeTrackerConfig, emptyTrackerConfig } from '../../../src/raft/tracker/tracker.js'
import { asIndex } from '../../../src/raft/numbers.js'
import type { DataCase } from './datadriven.js'

const limits = { maxInflightMessages: 10, maxInflightBytes: 0 }

/**
 * `simple`, `enter-joint [autoleave=true]`, `leave-joint`, with changes as input; one after the other on one
 * membership.
 */
export class ConfChangeCases {
  #membership: Membership = { config: emptyTrackerConfig, members: [] }
  /** The log grows by one with each command. */
  #lastIndex = 0

  run(one: DataCase): string {
    const result = this.#change(one, new Changer(this.#membership, this.#lastIndex++, limits))
    if (!result.ok) return result.error
    this.#membership = result.value
    const members = [...result.value.members].sort((left, right) => left.id - right.id)
    return `${describeTrackerConfig(result.value.config)}\n${members.map(describeMember).join('')}`
  }

  #change(one: DataCase, changer: Changer): ChangeResult {
    const changes = parseChanges(one.input)
    if (changes === undefined) throw new Error(`line ${one.line}: ${one.input}`)
    if (one.command === 'simple') return changer.simple(changes)
    if (one.command === 'leave-joint') return changer.leaveJoint()
    return changer.enterJoint(one.args.some(arg => arg.key === 'autoleave' && arg.values[0] === 'true'), changes)
  }
}

export function describeMember(one: Progress): string {
  const text = describeProgress({
    match: asIndex(one.match), next: asIndex(one.next), state: one.state, paused: one.paused,
    pendingSnapshot: asIndex(one.pendingSnapshot), recentActive: one.recentActive, isLearner: one.isLearner,
    inflights: one.inflights.count, inflightsFull: one.inflights.full,
  })
  return `${one.id}: ${text}\n`
}
