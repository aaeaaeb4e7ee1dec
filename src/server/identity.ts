import { join } from 'node:path'
import { fromUtf8, utf8 } from '../common/bytes.js'
import { regionId, storeId } from '../common/ids.js'
import type { StoreId } from '../common/ids.js'
import { Cf, LogStateKind } from '../engine/api.js'
import type { Engine, RaftLog } from '../engine/api.js'
import { BatchWriter } from '../engine/batch-writer.js'
import type { StoreBearer } from '../pd/api.js'
import { readFileIfThere, writeFileDurably } from './files.js'
import { StartupError } from './startup-error.js'

/**
 * Who a store is. Kept three times: in the raft log, which is what counts; in a file that people can read; and in the engine,
 * so that log and data of two stores are never taken for one.
 */
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
  /** In the record of the raft log alone: the life that PD knew last, and those after it that it may know. */
  readonly lives?: readonly number[]
}

const storeRecord = regionId(0)
/** Starts in a row that PD may have heard of without our hearing that it did. */
const livesMax = 32
/** In CF raft, behind the keys of regions (store/state-records). */
const markKey = Uint8Array.of(2)

export class IdentityKeeper {
  readonly #log: RaftLog
  readonly #engine: Engine
  readonly #path: string | undefined
  #file: IdentityFile | undefined

  /** @param folder undefined: a store in memory has no file */
  constructor(parts: { readonly raftLog: RaftLog; readonly engine: Engine; readonly folder: string | undefined }) {
    const { folder } = parts
    this.#log = parts.raftLog
    this.#engine = parts.engine
    this.#path = folder === undefined ? undefined : join(folder, 'STORE.json')
    this.#file = this.#readFile()
  }

  /** undefined: a fresh folder. @throws StartupError('dataDirDamaged') when log and file do not tell the same */
  load(): StoreIdentity | undefined {
    const record = this.#readRecord()
    const file = this.#file
    if (record === undefined && file !== undefined) {
      throw new StartupError('dataDirDamaged', `${this.#path} says store ${file.storeId}, but the raft log beside it is empty: `
        + `the data of store ${file.storeId} is gone. ${howToReplace(file.storeId)}`)
    }
    const mark = this.#readMark()
    if (record === undefined) {
      if (mark !== undefined && this.#engineHasRegions()) {
        throw new StartupError('dataDirDamaged', `the data says store ${mark.storeId}, but the raft log beside it is empty: what store `
          + `${mark.storeId} had promised is gone. ${howToReplace(mark.storeId)}`)
      }
      return undefined
    }
    if (mark === undefined) {
      throw new StartupError('dataDirDamaged', `the raft log says store ${record.storeId}, but the data beside it is gone. `
        + howToReplace(record.storeId))
    }
    if (mark.clusterId !== record.clusterId || mark.storeId !== record.storeId) {
      throw new StartupError('dataDirDamaged', `the raft log says store ${record.storeId} of cluster ${record.clusterId}, the data `
        + `says store ${mark.storeId} of cluster ${mark.clusterId}: parts of two stores are mixed in this folder.`)
    }
    if (file !== undefined && (file.clusterId !== record.clusterId || file.storeId !== record.storeId)) {
      throw new StartupError('dataDirDamaged', `${this.#path} says store ${file.storeId} of cluster ${file.clusterId}, the raft log `
        + `says store ${record.storeId} of cluster ${record.clusterId}: parts of two stores are mixed in this folder.`)
    }
    if (file === undefined) {
      const { format, clusterId, storeId: id, bootstrap } = record
      this.#write({ format, clusterId, storeId: id, ...(bootstrap && { bootstrap }) })
    }
    return { clusterId: BigInt(record.clusterId), storeId: storeId(record.storeId) }
  }

  /** Resolves when it is durable: the engine's mark first, then the record, then the file. */
  async save(identity: StoreIdentity, bootstrap: BootstrapIntent | undefined): Promise<void> {
    const file: IdentityFile = {
      format: 1, clusterId: identity.clusterId.toString(), storeId: identity.storeId, ...(bootstrap && { bootstrap }),
    }
    await this.#writeMark(file)
    const lives = this.#readRecord()?.lives
    const batch = this.#log.batch()
    batch.state(storeRecord, LogStateKind.Store, utf8(JSON.stringify({ ...file, ...(lives && { lives }) })))
    await new Promise<void>(resolve => { this.#log.append(batch, true, resolve) })
    this.#write(file)
  }

  /**
   * A new life begins: durable before PD hears of it, beside those that PD may know instead. Two processes on copies of one
   * folder draw two; PD goes on with one of them, and the other's folder does not know that one.
   */
  async beginLife(incarnation: number): Promise<StoreBearer> {
    const previous = this.#readRecord()?.lives ?? []
    const [known, ...tried] = previous
    await this.#writeLives(known === undefined ? [incarnation] : [known, ...tried.slice(1 - livesMax), incarnation])
    return { incarnation, previous }
  }

  /** PD knows this life. */
  async lifeIsKnown(incarnation: number): Promise<void> { await this.#writeLives([incarnation]) }

  async #writeLives(lives: readonly number[]): Promise<void> {
    const batch = this.#log.batch()
    batch.state(storeRecord, LogStateKind.Store, utf8(JSON.stringify({ ...this.#readRecord(), lives })))
    await new Promise<void>(resolve => { this.#log.append(batch, true, resolve) })
  }

  get intent(): BootstrapIntent | undefined { return this.#file?.bootstrap ?? this.#readRecord()?.bootstrap }

  #write(file: IdentityFile): void {
    this.#file = file
    if (this.#path !== undefined) writeFileDurably(this.#path, `${JSON.stringify(file, undefined, 2)}\n`)
  }

  #readMark(): IdentityFile | undefined {
    const bytes = this.#engine.getPersisted(Cf.Raft, markKey)
    return bytes === undefined ? undefined : parse(fromUtf8(bytes), 'the identity record of the data')
  }

  #engineHasRegions(): boolean {
    return this.#engine.scan({ cf: Cf.Raft, start: new Uint8Array(0), end: markKey, rowsMax: 1, bytesMax: 1 }).rows.length > 0
  }

  async #writeMark(file: IdentityFile): Promise<void> {
    const { clusterId, storeId } = file
    const known = this.#readMark()
    if (known !== undefined && known.clusterId === clusterId && known.storeId === storeId) return
    const mark: IdentityFile = { format: 1, clusterId, storeId }
    // The store may be at work already: behind what it has handed to the engine.
    this.#engine.submit(new BatchWriter().put(Cf.Raft, markKey, utf8(JSON.stringify(mark))).finish(), () => {})
    await new Promise<void>(resolve => { this.#engine.flush(resolve) })
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

const howToReplace = (id: number): string => `Take store ${id} offline (\`karst ctl store offline ${id}\`) and start this node on an `
  + 'empty --data-dir; it then joins under a new id.'

function parse(text: string, what: string): IdentityFile {
  try {
    const file = JSON.parse(text) as IdentityFile
    if (file.format === 1 && /^\d+$/.test(file.clusterId) && Number.isSafeInteger(file.storeId)) return file
  } catch (error) {
    throw new StartupError('dataDirDamaged', `${what} cannot be read: ${(error as Error).message}`, { cause: error })
  }
  throw new StartupError('dataDirDamaged', `${what} is of another version or damaged`)
}
