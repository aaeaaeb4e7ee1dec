import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { ignore } from '../common/assert.js'
import type { Env } from '../common/env.js'
import { StorageError } from '../common/errors.js'
import type { Engine, RaftLog } from '../engine/api.js'
import { MemEngine } from '../engine/mem-engine.js'
import { MemRaftLog } from '../engine/mem-raft-log.js'
import type { SnapshotSpool } from '../store/api.js'
import { Closers } from './closers.js'
import { claimFolder } from './data-folder.js'
import type { FolderKind } from './data-folder.js'
import { diskSpace, ensureFolder } from './files.js'
import type { DiskSpace } from './files.js'
import { Placeholder } from './placeholder.js'
import { FileSpool, MemorySpool } from './spool.js'
import { StartupError } from './startup-error.js'

/** Where a PD member keeps its state. */
export interface LogStorage {
  readonly raftLog: RaftLog
  /** undefined: in memory. */
  readonly folder: string | undefined
  close(): Promise<void>
}

/** Where a store keeps its data. */
export interface StoreStorage extends LogStorage {
  readonly engine: Engine
  readonly spool: SnapshotSpool
  /** undefined: nobody knows. */
  readonly diskSpace: (() => DiskSpace) | undefined
}

export interface LogSizes {
  readonly logSegmentBytes?: number
  readonly logCacheBytes?: number
}

export interface StoreSizes extends LogSizes {
  readonly blockCacheBytes: number
  readonly memtableBytes: number
  readonly backgroundJobs: number
  /** `storage.reserve-space`, held by a placeholder file; absent or 0: none is made. */
  readonly reserveDiskBytes?: number
}

/** A disk fails in the background: nothing written later is acknowledged, and the process must end. */
export type OnDiskError = (error: Error) => void

/** @throws StartupError */
export async function openLogOnDisk(kind: FolderKind, path: string, sizes: LogSizes): Promise<LogStorage> {
  const folder = resolve(path)
  const closers = new Closers()
  const lock = claimFolder(kind, folder)
  closers.add(() => { lock.release() })
  try {
    // Loaded late: a cluster in memory, and every client, does without the addon.
    const { openNativeRaftLog } = await import('../engine/native-raft-log.js')
    const raftLog = openNativeRaftLog({
      dir: ensureFolder(folder, 'raft'),
      ...(sizes.logSegmentBytes !== undefined && { segmentBytes: sizes.logSegmentBytes }),
      ...(sizes.logCacheBytes !== undefined && { cacheBytesMax: sizes.logCacheBytes }),
    })
    closers.add(() => raftLog.close())
    return { raftLog, folder, close: () => closers.run() }
  } catch (error) {
    await closers.run().catch((after: unknown) => { ignore(after, 'the opening failed before') })
    throw startupErrorOf(error, folder)
  }
}

/** @throws StartupError */
export async function openStoreOnDisk(path: string, sizes: StoreSizes, onDiskError: OnDiskError): Promise<StoreStorage> {
  const placeholder = new Placeholder(resolve(path), sizes.reserveDiskBytes ?? 0)
  const space = (): DiskSpace => placeholder.watch(diskSpace(resolve(path)))
  // A full disk has room again before anything is written.
  if (existsSync(resolve(path))) space()
  const { raftLog, folder = path, close } = await openLogOnDisk('store', path, sizes)
  try {
    const { openRocksEngine } = await import('../engine/rocks-engine.js')
    const { memtableBytes, blockCacheBytes, backgroundJobs } = sizes
    const engine = openRocksEngine({
      path: ensureFolder(folder, 'db'), memtableBytes, blockCacheBytes, backgroundJobs, onError: onDiskError,
    })
    return {
      engine, raftLog, folder, spool: new FileSpool(folder), diskSpace: space,
      close: async () => {
        await engine.close()
        await close()
      },
    }
  } catch (error) {
    await close().catch((after: unknown) => { ignore(after, 'the opening failed before') })
    throw startupErrorOf(error, folder)
  }
}

function startupErrorOf(error: unknown, folder: string): unknown {
  if (!(error instanceof StorageError)) return error
  const options = { cause: error }
  if (/lock/i.test(error.message)) {
    return new StartupError('dataDirInUse', `${folder} is in use by another process (${error.message}). One folder belongs to one `
      + 'node: give this one its own --data-dir.', options)
  }
  if (error.code === 'corruption') {
    return new StartupError('dataDirDamaged', `${folder} is damaged: ${error.message}. What this node had acknowledged may be gone, so it `
      + 'must not take part again. Take it out of the cluster (`karst ctl store offline ID` for a store) and start it on an '
      + 'empty --data-dir: its replicas are rebuilt from the others.', options)
  }
  return new StartupError('dataDirDamaged', `${folder} cannot be opened: ${error.message}`, options)
}

const later = (env: Env) => (run: () => void): void => { env.defer(() => { run() }) }

/** The "disk" of a PD member in memory: outlives the node, so that it can be started again. */
export class MemoryLogDisk {
  #log: MemRaftLog | undefined

  open(env: Env): LogStorage {
    const options = { schedule: later(env) }
    if (this.#log === undefined) this.#log = new MemRaftLog(options)
    else this.#log.reopen(options)
    const raftLog = this.#log
    return { raftLog, folder: undefined, close: () => raftLog.close() }
  }

  /** What was not durable is gone, as after SIGKILL or a power failure. */
  crash(): void { this.#log?.crash() }
}

/** The same of a store. */
export class MemoryStoreDisk {
  readonly #log = new MemoryLogDisk()
  readonly #spool = new MemorySpool()
  #engine: MemEngine | undefined

  open(env: Env): StoreStorage {
    const options = { defer: later(env) }
    if (this.#engine === undefined) this.#engine = new MemEngine(options)
    else this.#engine.reopen(options)
    const engine = this.#engine
    const log = this.#log.open(env)
    return {
      ...log, engine, spool: this.#spool, diskSpace: undefined,
      close: async () => {
        await engine.close()
        await log.close()
      },
    }
  }

  crash(): void {
    this.#engine?.crash()
    this.#log.crash()
    this.#spool.sweep()
  }
}
