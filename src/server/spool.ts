import { closeSync, ftruncateSync, openSync, readSync, readdirSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { assert } from '../common/assert.js'
import type { SnapshotSpool, SpoolFile } from '../store/api.js'
import { ensureFolder, removeFile } from './files.js'

/** Bytes of raft snapshots under way, as files below the data directory. Never durable: a restart asks again. */
export class FileSpool implements SnapshotSpool {
  readonly #folder: string

  constructor(dataDir: string) { this.#folder = ensureFolder(dataDir, 'snapshots') }

  create(name: string): SpoolFile {
    assert(/^[a-z][a-z0-9-]{0,63}$/.test(name), () => `not a name of ours: ${name}`)
    return new File(join(this.#folder, name))
  }

  sweep(): void {
    for (const name of readdirSync(this.#folder)) rmSync(join(this.#folder, name), { force: true, recursive: true })
  }
}

class File implements SpoolFile {
  readonly #path: string
  #fd: number | undefined
  #bytes = 0

  constructor(path: string) {
    this.#path = path
    this.#fd = openSync(path, 'w+')
    ftruncateSync(this.#fd, 0)
  }

  get bytes(): number { return this.#bytes }

  append(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      at += writeSync(this.#open(), bytes, at, bytes.length - at, this.#bytes + at)
    }
    this.#bytes += bytes.length
  }

  read(offset: number, bytesMax: number): Uint8Array {
    const wanted = Math.max(0, Math.min(bytesMax, this.#bytes - offset))
    const buffer = new Uint8Array(wanted)
    let at = 0
    while (at < wanted) {
      const count = readSync(this.#open(), buffer, at, wanted - at, offset + at)
      if (count === 0) break
      at += count
    }
    return at === wanted ? buffer : buffer.subarray(0, at)
  }

  /** Idempotent. */
  remove(): void {
    if (this.#fd === undefined) return
    closeSync(this.#fd)
    this.#fd = undefined
    removeFile(this.#path)
  }

  #open(): number {
    if (this.#fd === undefined) throw new Error(`${this.#path} was removed`)
    return this.#fd
  }
}

/** The same in memory. */
export class MemorySpool implements SnapshotSpool {
  readonly #files = new Set<MemoryFile>()

  create(_name: string): SpoolFile {
    const file = new MemoryFile(() => { this.#files.delete(file) })
    this.#files.add(file)
    return file
  }

  sweep(): void { this.#files.clear() }
}

class MemoryFile implements SpoolFile {
  #buffer = new Uint8Array(1 << 16)
  #bytes = 0
  readonly #onRemove: () => void

  constructor(onRemove: () => void) { this.#onRemove = onRemove }

  get bytes(): number { return this.#bytes }

  append(bytes: Uint8Array): void {
    if (this.#bytes + bytes.length > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(this.#buffer.length * 2, this.#bytes + bytes.length))
      grown.set(this.#buffer.subarray(0, this.#bytes))
      this.#buffer = grown
    }
    this.#buffer.set(bytes, this.#bytes)
    this.#bytes += bytes.length
  }

  read(offset: number, bytesMax: number): Uint8Array {
    return new Uint8Array(this.#buffer.subarray(offset, Math.min(this.#bytes, offset + bytesMax)))
  }

  remove(): void {
    this.#buffer = new Uint8Array(0)
    this.#bytes = 0
    this.#onRemove()
  }
}
