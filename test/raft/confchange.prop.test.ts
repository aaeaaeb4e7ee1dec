// Laws of membership: one by one equals jointly, and what was restored is what was saved.
import t from 'tap'
import fc from 'fast-check'
import { emptyBytes } from '../../src/common/bytes.js'
import { Changer, membershipHolds } from '../../src/raft/confchange/changer.js'
import type { ChangeResult, Membership } from '../../src/raft/confchange/changer.js'
import {
  decodeConfChange, describeChanges, encodeConfChange, encodeConfChangeV2, parseChanges,
} from '../../src/raft/confchange/conf-change.js'
import type { ConfChangeSingle } from '../../src/raft/confchange/conf-change.js'
import { restoreMembership, sameConfState } from '../../src/raft/confchange/restore.js'
import { asNode } from '../../src/raft/numbers.js'
import { ProgressTracker, describeTrackerConfig, emptyTrackerConfig } from '../../src/raft/tracker/tracker.js'
import { EntryType } from '../../src/raft/types.js'
import type { ConfState } from '../../src/raft/types.js'
import { describeMember } from './replay/confchange-cases.js'

const limits = { maxInflightMessages: 10, maxInflightBytes: 0 }
const kinds = ['addNode', 'addLearner', 'removeNode', 'updateNode'] as const
const single = fc.record({ type: fc.constantFrom(...kinds), nodeId: fc.integer({ min: 1, max: 7 }).map(asNode) })
/** Voter 1 is always there and stays: no sequence removes the last voter. */
const changes = fc.array(single.filter(one => one.nodeId !== 1), { minLength: 1, maxLength: 12 })
const setup = fc.array(single.filter(one => one.nodeId !== 1), { maxLength: 6 })

const empty: Membership = { config: emptyTrackerConfig, members: [] }
const changer = (from: Membership): Changer => new Changer(from, 10, limits)

function must(result: ChangeResult): Membership {
  if (!result.ok) throw new Error(result.error)
  return result.value
}

const start = (setting: readonly ConfChangeSingle[]): Membership =>
  oneByOne(must(changer(empty).simple([{ type: 'addNode', nodeId: asNode(1) }])), setting)

function oneByOne(from: Membership, list: readonly ConfChangeSingle[]): Membership {
  let membership = from
  for (const one of list) membership = must(changer(membership).simple([one]))
  return membership
}

function describe({ config, members }: Membership): string {
  const sorted = [...members].sort((left, right) => left.id - right.id)
  return `${describeTrackerConfig(config)}\n${sorted.map(describeMember).join('')}`
}

function stateOf(membership: Membership): ConfState {
  const tracker = new ProgressTracker(limits)
  tracker.use(membership.config, membership.members)
  return tracker.confState()
}

t.test('changes one by one and the same changes through a joint state end in one configuration', async t => {
  fc.assert(fc.property(setup, changes, fc.boolean(), (setting, list, autoLeave) => {
    const from = start(setting)
    const simple = oneByOne(from, list)
    const entered = must(changer(from).enterJoint(autoLeave, list))
    if (changer(entered).enterJoint(false, []).ok || changer(entered).simple([]).ok) throw new Error('joint on joint')
    const joint = must(changer(entered).leaveJoint())
    // The order of removal and addition decides how old a progress is; who is what must be equal.
    const roles = ({ config, members }: Membership): string =>
      `${describeTrackerConfig(config)} ${members.map(one => `${one.id}${one.isLearner}`).sort().join()}`
    return roles(simple) === roles(joint)
  }), { numRuns: 3_000 })
  t.pass()
})

t.test('the invariants hold after every change, accepted or refused, and a refused one changes nothing', async t => {
  const step = fc.oneof(
    fc.array(single, { maxLength: 4 }).map(list => (from: Changer) => from.simple(list)),
    fc.tuple(fc.boolean(), fc.array(single, { maxLength: 4 }))
      .map(([auto, list]) => (from: Changer) => from.enterJoint(auto, list)),
    fc.constant((from: Changer) => from.leaveJoint()))
  let accepted = 0
  fc.assert(fc.property(fc.array(step, { minLength: 1, maxLength: 20 }), steps => {
    let membership = start([])
    for (const change of steps) {
      const before = describe(membership)
      const result = change(changer(membership))
      if (describe(membership) !== before) return false
      if (!result.ok) {
        if (result.error === 'brokenInvariant') return false
        continue
      }
      accepted++
      membership = result.value
      if (!membershipHolds(membership) || membership.config.incoming.size === 0) return false
    }
    return true
  }), { numRuns: 2_000 })
  t.ok(accepted > 2_000, `${accepted} changes were accepted`)
})

t.test('what is restored from a ConfState gives that ConfState', async t => {
  fc.assert(fc.property(setup, changes, fc.boolean(), fc.boolean(), (setting, list, joint, autoLeave) => {
    const from = start(setting)
    const membership = joint ? must(changer(from).enterJoint(autoLeave, list)) : oneByOne(from, list)
    const state = stateOf(membership)
    const restored = must(restoreMembership(state, 10, limits))
    return sameConfState(stateOf(restored), state)
      && describeTrackerConfig(restored.config) === describeTrackerConfig(membership.config)
  }), { numRuns: 3_000 })
  t.pass()
})

t.test('a simple change never touches two voters', async t => {
  fc.assert(fc.property(setup, fc.array(single, { maxLength: 5 }), (setting, list) => {
    const from = start(setting)
    const result = changer(from).simple(list)
    return !result.ok || from.config.incoming.differenceSize(result.value.config.incoming) <= 1
  }), { numRuns: 3_000 })
  t.pass()
})

t.test('encoding and text of changes are reversible', async t => {
  const bytes = fc.uint8Array({ maxLength: 40 })
  const big = fc.record({ type: fc.constantFrom(...kinds), nodeId: fc.maxSafeNat().map(asNode) })
  const transition = fc.constantFrom('auto', 'implicit', 'explicit')
  fc.assert(fc.property(fc.array(big, { maxLength: 20 }), transition, bytes, (list, mode, context) => {
    const change = { changes: list, transition: mode, context }
    const decoded = decodeConfChange(EntryType.ConfChangeV2, encodeConfChangeV2(change))
    t.same(decoded, { changes: list, transition: mode, context: context.length === 0 ? emptyBytes : context })
    for (const one of list) {
      const v1 = decodeConfChange(EntryType.ConfChange, encodeConfChange({ ...one, context }))
      if (JSON.stringify(v1?.changes) !== JSON.stringify([one])) return false
    }
    return JSON.stringify(parseChanges(describeChanges(list))) === JSON.stringify(list)
  }), { numRuns: 200 })
  t.equal(parseChanges('x1'), undefined)
})

t.test('bytes that nobody encoded decode to nothing or to a change, and never throw', async t => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), fc.constantFrom(1 as const, 2 as const), (data, kind) => {
    const decoded = decodeConfChange(kind, data)
    return decoded === undefined || decoded.changes.every(one => Number.isSafeInteger(one.nodeId))
  }), { numRuns: 5_000 })
  t.pass()
})
