import { assert } from '../../common/assert.js'
import { copyBytes, emptyBytes } from '../../common/bytes.js'
import { EntryType } from '../types.js'
import type { NodeId } from '../types.js'

export type ConfChangeType = 'addNode' | 'removeNode' | 'updateNode' | 'addLearner'

/**
 * `auto`: one change goes the simple way, more enter a joint state that leaves itself. `implicit`: joint, and
 * leaves itself. `explicit`: joint until an empty change is proposed.
 */
export type ConfChangeTransition = 'auto' | 'implicit' | 'explicit'

export interface ConfChangeSingle {
  readonly type: ConfChangeType
  readonly nodeId: NodeId
}

/** One change by the simple protocol. `context` is the caller's and travels with the entry. */
export interface ConfChange extends ConfChangeSingle {
  readonly context: Uint8Array
}

export interface ConfChangeV2 {
  readonly changes: readonly ConfChangeSingle[]
  readonly transition: ConfChangeTransition
  readonly context: Uint8Array
}

/** An empty change leaves a joint configuration. */
export const leaveJoint: ConfChangeV2 = { changes: [], transition: 'auto', context: emptyBytes }

export function toConfChangeV2(change: ConfChange | ConfChangeV2): ConfChangeV2 {
  if ('changes' in change) return change
  const { type, nodeId, context } = change
  return { changes: [{ type, nodeId }], transition: 'auto', context }
}

export const leavesJoint = (change: ConfChangeV2): boolean =>
  change.transition === 'auto' && change.changes.length === 0

/**
 * More changes than one would qualify for the simple way, depending on the configuration; joint is always
 * right.
 */
export const entersJoint = (change: ConfChangeV2): boolean =>
  change.transition !== 'auto' || change.changes.length > 1

const changeTypes: readonly ConfChangeType[] = ['addNode', 'removeNode', 'updateNode', 'addLearner']
const transitions: readonly ConfChangeTransition[] = ['auto', 'implicit', 'explicit']
const changeBytes = 9
const changesMax = 255

function writeChange(bytes: Uint8Array, at: number, change: ConfChangeSingle): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  view.setUint8(at, changeTypes.indexOf(change.type))
  view.setUint32(at + 1, change.nodeId % 2 ** 32, true)
  view.setUint32(at + 5, Math.floor(change.nodeId / 2 ** 32), true)
}

function readChange(bytes: Uint8Array, at: number): ConfChangeSingle | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const type = changeTypes[view.getUint8(at)]
  const nodeId = view.getUint32(at + 1, true) + view.getUint32(at + 5, true) * 2 ** 32
  return type === undefined || !Number.isSafeInteger(nodeId) ? undefined : { type, nodeId: nodeId as NodeId }
}

/** Data of a ConfChange entry: `u8 type, u64le nodeId, context`. */
export function encodeConfChange(change: ConfChange): Uint8Array {
  const bytes = new Uint8Array(changeBytes + change.context.length)
  writeChange(bytes, 0, change)
  bytes.set(change.context, changeBytes)
  return bytes
}

/**
 * Data of a ConfChangeV2 entry: `u8 transition, u8 count, count × (u8 type, u64le nodeId), context`;
 * leaveJoint is empty.
 */
export function encodeConfChangeV2(change: ConfChangeV2): Uint8Array {
  assert(change.changes.length <= changesMax, 'too many changes in one')
  if (leavesJoint(change) && change.context.length === 0) return emptyBytes
  const head = 2 + change.changes.length * changeBytes
  const bytes = new Uint8Array(head + change.context.length)
  bytes[0] = transitions.indexOf(change.transition)
  bytes[1] = change.changes.length
  for (const [i, single] of change.changes.entries()) writeChange(bytes, 2 + i * changeBytes, single)
  bytes.set(change.context, head)
  return bytes
}

/** @returns undefined when the bytes are not what the two encoders write, or the type is Normal */
export function decodeConfChange(type: EntryType, data: Uint8Array): ConfChangeV2 | undefined {
  if (type === EntryType.ConfChange) {
    const single = data.length < changeBytes ? undefined : readChange(data, 0)
    return single && { changes: [single], transition: 'auto', context: copyBytes(data.subarray(changeBytes)) }
  }
  if (type !== EntryType.ConfChangeV2) return undefined
  if (data.length === 0) return leaveJoint
  const transition = transitions[data[0]!]
  const head = 2 + (data[1] ?? 0) * changeBytes
  if (transition === undefined || data.length < head) return undefined
  const changes: ConfChangeSingle[] = []
  for (let at = 2; at < head; at += changeBytes) {
    const single = readChange(data, at)
    if (single === undefined) return undefined
    changes.push(single)
  }
  return { changes, transition, context: copyBytes(data.subarray(head)) }
}

const changeLetters: Readonly<Record<ConfChangeType, string>> =
  { addNode: 'v', removeNode: 'r', updateNode: 'u', addLearner: 'l' }

/** `v1 l2 r3 u4`: 1 becomes a voter, 2 a learner, 3 goes, 4 is touched. */
export function describeChanges(changes: readonly ConfChangeSingle[]): string {
  return changes.map(change => `${changeLetters[change.type]}${change.nodeId}`).join(' ')
}

/** The inverse of describeChanges. @returns undefined when the text is something else */
export function parseChanges(text: string): ConfChangeSingle[] | undefined {
  const changes: ConfChangeSingle[] = []
  for (const word of text.split(/\s+/).filter(part => part !== '')) {
    const type = changeTypes.find(candidate => changeLetters[candidate] === word[0])
    if (type === undefined || !/^\d+$/.test(word.substring(1))) return undefined
    changes.push({ type, nodeId: Number(word.substring(1)) as NodeId })
  }
  return changes
}
