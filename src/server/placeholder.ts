import { execFile } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { isCode, removeFile } from './files.js'
import type { DiskSpace } from './files.js'

/** Made only where so many of them fit; given back when less than half of one is free. */
const fitsTimes = 8
const fileName = 'space_placeholder_file'

/**
 * Blocks that are held for the day when the disk is full (TiKV's `space_placeholder_file`): given back then, so that deletes,
 * compactions and a restart find room. It has blocks but was never written: `fallocate` of util-linux makes it, because Node has
 * no such call and zeros would have to travel to the disk. Without that program, or on a file system that cannot, there is none.
 */
export class Placeholder {
  readonly #path: string
  readonly #bytes: number
  #heldBytes: number
  #isMaking = false
  #isImpossible = false
  /** Was given back: what the disk has free because of that is not for writes. */
  #isGivenBack = false

  constructor(folder: string, bytes: number) {
    this.#path = join(folder, fileName)
    this.#bytes = bytes
    this.#heldBytes = bytesOf(this.#path)
  }

  get isHeld(): boolean { return this.#heldBytes > 0 }

  /** Asked about once a second, and before anything is opened. @returns what is free, and how much of it is held back */
  watch(space: DiskSpace): DiskSpace & { readonly heldBackBytes: number } {
    const { availableBytes } = space
    if (this.#heldBytes > 0 && availableBytes < this.#bytes / 2) {
      removeFile(this.#path)
      this.#isGivenBack = true
      this.#heldBytes = 0
    } else if (this.#heldBytes === 0 && availableBytes >= this.#bytes * fitsTimes) {
      this.#isGivenBack = false
      this.#make()
    }
    return { ...space, heldBackBytes: this.#isGivenBack ? this.#bytes : 0 }
  }

  #make(): void {
    if (this.#bytes === 0 || this.#isMaking || this.#isImpossible) return
    this.#isMaking = true
    execFile('fallocate', ['-l', String(this.#bytes), this.#path], error => {
      this.#isMaking = false
      this.#heldBytes = bytesOf(this.#path)
      this.#isImpossible = error !== null
      if (error !== null) removeFile(this.#path)
    })
  }
}

function bytesOf(path: string): number {
  try {
    return statSync(path).size
  } catch (error) {
    // Whoever opens the folder says what is wrong with it.
    if (isCode(error, 'ENOENT') || isCode(error, 'ENOTDIR') || isCode(error, 'EACCES')) return 0
    throw error
  }
}
