import { unreachable } from '../../common/assert.js'
import { storeId } from '../../common/ids.js'
import type { StoreId } from '../../common/ids.js'
import type { Region } from '../../common/region.js'
import type { StoreMeta } from '../../wire/messages.js'
import {
  ByteReader, ByteWriter, readMember, readRegion, readStore, readStoreState, storeStateCode,
  writeMember, writeRegion, writeStore,
} from './codec.js'
import type { PdMember } from './codec.js'

/** Everything that changes PD's replicated state. Each is safe to repeat: who does not know the outcome asks again. */
export type PdCommand =
  /** The first leader names the cluster; later ones change nothing. */
  | { readonly kind: 'initCluster'; readonly clusterId: bigint }
  | { readonly kind: 'bootstrap'; readonly store: StoreMeta; readonly region: Region }
  /** Result: the first of `count` ids that belong to whoever proposed this very command. */
  | { readonly kind: 'allocIds'; readonly count: number }
  | { readonly kind: 'putStore'; readonly store: StoreMeta }
  /** A store that starts says who it is; `previous`: what its folder was registered as before. */
  | {
    readonly kind: 'registerStore'; readonly store: StoreMeta; readonly incarnation: number; readonly previous: readonly number[]
  }
  | { readonly kind: 'setStoreState'; readonly storeId: StoreId; readonly state: StoreMeta['state'] }
  /** Timestamps with a physical part below `boundMs` may be issued by the proposer. */
  | { readonly kind: 'tsoWindow'; readonly boundMs: number }
  /** How a member of PD's own group is reached. */
  | { readonly kind: 'putMember'; readonly member: PdMember }
  /** The member `oldId` is out for good; `member`, with a new id, is awaited in its place. */
  | { readonly kind: 'replaceMember'; readonly oldId: number; readonly member: PdMember }
  /** An awaited member is there. Result: 1 = the id belongs to this token, 0 = to nobody or to another one. */
  | { readonly kind: 'claimMember'; readonly token: number; readonly member: PdMember }

const commandVersion = 1
const kinds: readonly PdCommand['kind'][] =
  ['initCluster', 'bootstrap', 'allocIds', 'putStore', 'setStoreState', 'tsoWindow', 'putMember', 'replaceMember',
    'claimMember', 'registerStore']

/** Who proposed an entry: `incarnation` is drawn once per process life, `sequence` counts within it. */
export interface ProposalId {
  readonly incarnation: number
  readonly sequence: number
}

/** Entry payload: u8 version, varint incarnation, varint sequence, u8 kind, fields. */
export function encodeProposal(id: ProposalId, command: PdCommand): Uint8Array {
  const writer = new ByteWriter().u8(commandVersion).uint(id.incarnation).uint(id.sequence)
  writer.u8(kinds.indexOf(command.kind))
  switch (command.kind) {
    case 'initCluster': writer.u64(command.clusterId); break
    case 'bootstrap':
      writeStore(writer, command.store)
      writeRegion(writer, command.region)
      break
    case 'allocIds': writer.uint(command.count); break
    case 'putStore': writeStore(writer, command.store); break
    case 'registerStore':
      writeStore(writer, command.store)
      writer.uint(command.incarnation).uint(command.previous.length)
      for (const one of command.previous) writer.uint(one)
      break
    case 'setStoreState': writer.uint(command.storeId).u8(storeStateCode(command.state)); break
    case 'tsoWindow': writer.uint(command.boundMs); break
    case 'putMember': writeMember(writer, command.member); break
    case 'replaceMember':
      writer.uint(command.oldId)
      writeMember(writer, command.member)
      break
    case 'claimMember':
      writer.uint(command.token)
      writeMember(writer, command.member)
      break
    default: return unreachable(command, 'command')
  }
  return writer.finish()
}

/** @throws StorageError('corruption') when the bytes are not what encodeProposal writes */
export function decodeProposal(bytes: Uint8Array): { readonly id: ProposalId; readonly command: PdCommand } {
  const reader = new ByteReader(bytes, 'PD command')
  reader.version(commandVersion)
  const id = { incarnation: reader.uint(), sequence: reader.uint() }
  const command = readCommand(reader, reader.choice(kinds))
  reader.end()
  return { id, command }
}

function readCommand(reader: ByteReader, kind: PdCommand['kind']): PdCommand {
  switch (kind) {
    case 'initCluster': return { kind, clusterId: reader.u64() }
    case 'bootstrap': return { kind, store: readStore(reader), region: readRegion(reader) }
    case 'allocIds': return { kind, count: reader.uint() }
    case 'putStore': return { kind, store: readStore(reader) }
    case 'registerStore': {
      const [store, incarnation] = [readStore(reader), reader.uint()]
      return { kind, store, incarnation, previous: Array.from({ length: reader.uint() }, () => reader.uint()) }
    }
    case 'setStoreState': return { kind, storeId: storeId(reader.uint()), state: readStoreState(reader) }
    case 'tsoWindow': return { kind, boundMs: reader.uint() }
    case 'putMember': return { kind, member: readMember(reader) }
    case 'replaceMember': return { kind, oldId: reader.uint(), member: readMember(reader) }
    case 'claimMember': return { kind, token: reader.uint(), member: readMember(reader) }
    default: return unreachable(kind, 'command kind')
  }
}
