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
  /** 0: it was not told yet, takes no part, and has promised nothing. */
  readonly memberId: number
  /** All members, as the first start of this one knew them. */
  readonly members: readonly string[]
  /** Drawn once per folder. Folders of older versions have none, and a history. */
  readonly token?: number
  /** Tokens of the folders that began the group with this one, by name. */
  readonly tokens?: Readonly<Record<string, number>>
  /** Of a member that came later: whom the group began with, and where members were. */
  readonly founderIds?: readonly number[]
  readonly peers?: readonly { readonly name: string; readonly memberId: number; readonly peerUrls: readonly string[] }[]
}

const ownRecord = regionId(0)

/** The identity of a folder of this member, kept twice. */
export class PdIdentityKeeper {
  readonly #storage: LogStorage
  readonly #path: string | undefined

  constructor(storage: LogStorage) {
    this.#storage = storage
    this.#path = storage.folder === undefined ? undefined : join(storage.folder, 'PD.json')
  }

  /**
   * undefined: a fresh folder. A member whose log is gone would vote twice, and hand out ids and timestamps again.
   * @param own what the configuration says; without `members`, whatever the folder says is right
   * @throws StartupError
   */
  load(own: { readonly name: string; readonly members: readonly string[] | undefined }): PdIdentity | undefined {
    const { raftLog, folder } = this.#storage
    const bytes = raftLog.state(ownRecord, LogStateKind.Store)
    const record = bytes === undefined || bytes.length === 0 ? undefined : parse(fromUtf8(bytes), 'the identity record of the raft log')
    const text = this.#path === undefined ? undefined : readFileIfThere(this.#path)
    const file = text === undefined ? undefined : parse(text, this.#path ?? '')
    if (record === undefined && file !== undefined) {
      throw new StartupError('dataDirDamaged', `${this.#path} says PD member ${file.name}, but the raft log beside it is empty: what this `
        + `member had voted for is gone. Give back its data${howToGoOn(file)}`)
    }
    const known = record ?? file
    if (known === undefined) return undefined
    if (known.name !== own.name) {
      throw new StartupError('dataDirForeign', `${folder} belongs to PD member ${known.name}, not ${own.name}: check --name and --data-dir`)
    }
    if (own.members !== undefined && known.members.length > 0 && known.members.join() !== own.members.join()) {
      throw new StartupError('config', `${folder} was made for the members ${known.members.join(', ')}, but initial-cluster names `
        + `${own.members.join(', ')}. Members cannot be changed this way: start with the same initial-cluster; \`karst ctl member `
        + 'replace NAME\` puts a new member in the place of a lost one.')
    }
    if (file === undefined && known.memberId !== 0) this.#write(known)
    return known
  }

  /** Resolves when it is durable. */
  async save(identity: PdIdentity): Promise<void> {
    const { raftLog } = this.#storage
    const batch = raftLog.batch()
    batch.state(ownRecord, LogStateKind.Store, utf8(JSON.stringify(identity)))
    await new Promise<void>(resolve => { raftLog.append(batch, true, resolve) })
    // Without an id there is nothing to lose, and nothing that an empty log would contradict.
    if (identity.memberId !== 0) this.#write(identity)
  }

  #write(identity: PdIdentity): void {
    if (this.#path !== undefined) writeFileDurably(this.#path, `${JSON.stringify(identity, undefined, 2)}\n`)
  }
}

const howToGoOn = ({ name, members }: PdIdentity): string => members.length > 1
  ? `, or put a new member in its place: \`karst ctl member replace ${name} --pd ADDRESSES\` of the other members, then start this one `
    + 'with an empty --data-dir.'
  : '. A sole member without its data is a new cluster and needs an empty --data-dir; stores of the old one do not join it.'

function parse(text: string, what: string): PdIdentity {
  try {
    const identity = JSON.parse(text) as PdIdentity
    if (identity.format === 1 && Number.isSafeInteger(identity.memberId) && Array.isArray(identity.members)) return identity
  } catch (error) {
    throw new StartupError('dataDirDamaged', `${what} cannot be read: ${(error as Error).message}`, { cause: error })
  }
  throw new StartupError('dataDirDamaged', `${what} is of another version or damaged`)
}
