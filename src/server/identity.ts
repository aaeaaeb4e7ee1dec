import { join } from 'node:path'
import { fromUtf8, utf8 } from '../common/bytes.js'
import { regionId, storeId } from '../common/ids.js'
import type { StoreId } from '../common/ids.js'
import { LogStateKind } from '../engine/api.js'
import type { RaftLog } from '../engine/api.js'
import { readFileIfThere, writeFileDurably } from './files.js'
import { StartupError } from './startup-error.js'

/** Who a store is. Kept twice: in the raft log, which is what counts, and in a file that people can read. */
export interface StoreIdentity {
  readonly clusterId: bigint
  readonly storeId: StoreId
}

/** The first region, offered to PD and perhaps not yet written: repeated after a crash until it is. */
export interface BootstrapIntent {
  readonly regionId: number
  readonly peerId: number
}

interface IdentityFile {
  readonly format: 1
  readonly clusterId: string
  readonly storeId: number
  readonly bootstrap?: BootstrapIntent
}

const storeRecord = regionId(0)

export class IdentityKeeper {
  readonly #log: RaftLog
  readonly #path: string | undefined
  #file: IdentityFile | undefined

  /** @param folder undefined: a store in memory has no file */
  constructor(log: RaftLog, folder: string | undefined) {
    this.#log = log
    this.#path = folder === undefined ? undefined : join(folder, 'STORE.json')
    this.#file = this.#readFile()
  }

  /** undefined: a fresh folder. @throws StartupError('dataDirDamaged') when log and file do not tell the same */
  load(): StoreIdentity | undefined {
    const record = this.#readRecord()
    const file = this.#file
    if (record === undefined && file !== undefined) {
      throw new StartupError('dataDirDamaged', `${this.#path} says store ${file.storeId}, but the raft log beside it is empty: `
        + `the data of store ${file.storeId} is gone. Take that store offline with \`karst ctl store offline\` and give this `
        + `node an empty --data-dir; it then joins under a new id.`)
    }
    if (record === undefined) return undefined
    if (file !== undefined && (file.clusterId !== record.clusterId || file.storeId !== record.storeId)) {
      throw new StartupError('dataDirDamaged', `${this.#path} says store ${file.storeId} of cluster ${file.clusterId}, the raft log `
        + `says store ${record.storeId} of cluster ${record.clusterId}: parts of two stores are mixed in this folder.`)
    }
    if (file === undefined) this.#write({ ...record, ...(record.bootstrap && { bootstrap: record.bootstrap }) })
    return { clusterId: BigInt(record.clusterId), storeId: storeId(record.storeId) }
  }

  /** Resolves when it is durable: record first, then the file. */
  async save(identity: StoreIdentity, bootstrap: BootstrapIntent | undefined): Promise<void> {
    const file: IdentityFile = {
      format: 1, clusterId: identity.clusterId.toString(), storeId: identity.storeId, ...(bootstrap && { bootstrap }),
    }
    const batch = this.#log.batch()
    batch.state(storeRecord, LogStateKind.Store, utf8(JSON.stringify(file)))
    await new Promise<void>(resolve => { this.#log.append(batch, true, resolve) })
    this.#write(file)
  }

  get intent(): BootstrapIntent | undefined { return this.#file?.bootstrap ?? this.#readRecord()?.bootstrap }

  #write(file: IdentityFile): void {
    this.#file = file
    if (this.#path !== undefined) writeFileDurably(this.#path, `${JSON.stringify(file, undefined, 2)}\n`)
  }

  #readRecord(): IdentityFile | undefined {
    const bytes = this.#log.state(storeRecord, LogStateKind.Store)
    return bytes === undefined || bytes.length === 0 ? undefined : parse(fromUtf8(bytes), 'the identity record of the raft log')
  }

  #readFile(): IdentityFile | undefined {
    const text = this.#path === undefined ? undefined : readFileIfThere(this.#path)
    return text === undefined ? undefined : parse(text, this.#path ?? '')
  }
}

function parse(text: string, what: string): IdentityFile {
  try {
    const file = JSON.parse(text) as IdentityFile
    if (file.format === 1 && /^\d+$/.test(file.clusterId) && Number.isSafeInteger(file.storeId)) return file
  } catch (error) {
    throw new StartupError('dataDirDamaged', `${what} cannot be read: ${(error as Error).message}`, { cause: error })
  }
  throw new StartupError('dataDirDamaged', `${what} is of another version or damaged`)
}
