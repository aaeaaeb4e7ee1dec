import { join } from 'node:path'
import { fromUtf8, utf8 } from '../common/bytes.js'
import { regionId } from '../common/ids.js'
import { LogStateKind } from '../engine/api.js'
import { readFileIfThere, writeFileDurably } from './files.js'
import { StartupError } from './startup-error.js'
import type { LogStorage } from './storage.js'

/** Who a member of PD is: a record in its raft log, which counts, and a file that people can read. */
export interface PdIdentity {
  readonly format: 1
  readonly name: string
  readonly memberId: number
  /** All members, as the first start of this one knew them. */
  readonly members: readonly string[]
}

const ownRecord = regionId(0)

/**
 * Takes a fresh folder for this member, or makes sure that it is its own. A member whose log is gone would vote twice.
 * @throws StartupError
 */
export async function claimPdIdentity(storage: LogStorage, own: Omit<PdIdentity, 'format'>): Promise<void> {
  const { raftLog, folder } = storage
  const path = folder === undefined ? undefined : join(folder, 'PD.json')
  const bytes = raftLog.state(ownRecord, LogStateKind.Store)
  const record = bytes === undefined || bytes.length === 0 ? undefined : parse(fromUtf8(bytes), 'the identity record of the raft log')
  const text = path === undefined ? undefined : readFileIfThere(path)
  const file = text === undefined ? undefined : parse(text, path ?? '')
  if (record === undefined && file !== undefined) {
    throw new StartupError('dataDirDamaged', `${path} says PD member ${file.name}, but the raft log beside it is empty: what this `
      + 'member had voted for is gone. Give back its data; a sole member without its data is a new cluster and needs an empty --data-dir.')
  }
  const known = record ?? file
  if (known !== undefined && (known.memberId !== own.memberId || known.name !== own.name)) {
    throw new StartupError('dataDirForeign', `${folder} belongs to PD member ${known.name}, not ${own.name}: check --name and --data-dir`)
  }
  if (known !== undefined && known.members.join() !== own.members.join()) {
    throw new StartupError('config', `${folder} was made for the members ${known.members.join(', ')}, but initial-cluster names `
      + `${own.members.join(', ')}. Members cannot be changed this way yet: start with the same initial-cluster.`)
  }
  const identity: PdIdentity = { format: 1, ...own }
  if (record === undefined) {
    const batch = raftLog.batch()
    batch.state(ownRecord, LogStateKind.Store, utf8(JSON.stringify(identity)))
    await new Promise<void>(resolve => { raftLog.append(batch, true, resolve) })
  }
  if (file === undefined && path !== undefined) writeFileDurably(path, `${JSON.stringify(identity, undefined, 2)}\n`)
}

function parse(text: string, what: string): PdIdentity {
  try {
    const identity = JSON.parse(text) as PdIdentity
    if (identity.format === 1 && Number.isSafeInteger(identity.memberId) && Array.isArray(identity.members)) return identity
  } catch (error) {
    throw new StartupError('dataDirDamaged', `${what} cannot be read: ${(error as Error).message}`, { cause: error })
  }
  throw new StartupError('dataDirDamaged', `${what} is of another version or damaged`)
}
