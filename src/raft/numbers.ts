import type { LogIndex, Term } from '../common/ids.js'
import type { NodeId } from './types.js'

/**
 * Inside raft, indexes and terms are plain numbers: they are compared and added everywhere, and all of them
 * came from branded ones. These three put the brand back at the border, unchecked.
 */
export const asIndex = (value: number): LogIndex => value as LogIndex
export const asTerm = (value: number): Term => value as Term
export const asNode = (value: number): NodeId => value as NodeId
