import { assert } from '../common/assert.js'
import { compareBytes, copyBytes, emptyBytes } from '../common/bytes.js'
import { wholeValue } from './api.js'
import type { Cf, EngineSnapshot, Hot, PendingRead, ReadDone, Row, ScanOptions, ScanPage, ValuesPage } from './api.js'
import type { TreeView } from './cow-tree.js'

export interface ReadPort {
  readonly isCold: () => boolean
  /** Runs `read`, and `done` with what it found, in a later turn. */
  readonly later: <T>(read: () => T, done: ReadDone<T>) => PendingRead
}

/** Reads of trees: of an engine as it is, or of views that stay as they were. */
export class MemReader implements EngineSnapshot {
  #views: readonly TreeView[] | undefined
  readonly #port: ReadPort
  readonly #freeze: () => readonly TreeView[]

  /** @param freeze  what a read that leaves the loop looks at: the views as they are now */
  constructor(views: readonly TreeView[], port: ReadPort, freeze?: () => readonly TreeView[]) {
    this.#views = views
    this.#port = port
    this.#freeze = freeze ?? (() => this.#held)
  }

  get(cf: Cf, key: Uint8Array): Uint8Array | undefined { return readOne(this.#held[cf]!, key, wholeValue) }
  multiGet(cf: Cf, keys: readonly Uint8Array[], bytesMax: number): ValuesPage { return readMany(this.#held[cf]!, keys, bytesMax) }
  scan(options: ScanOptions): ScanPage { return scanTree(this.#held[options.cf]!, options) }

  tryGet(cf: Cf, key: Uint8Array, tailBytes = wholeValue): Hot<Uint8Array | undefined> {
    return this.#port.isCold() ? 'cold' : readOne(this.#held[cf]!, key, tailBytes)
  }
  tryMultiGet(cf: Cf, keys: readonly Uint8Array[], bytesMax: number): Hot<ValuesPage> {
    return this.#port.isCold() ? 'cold' : this.multiGet(cf, keys, bytesMax)
  }
  tryScan(options: ScanOptions): Hot<ScanPage> { return this.#port.isCold() ? 'cold' : this.scan(options) }

  getLater(cf: Cf, key: Uint8Array, tailBytes: number, done: ReadDone<Uint8Array | undefined>): PendingRead {
    const view = this.#frozen(cf)
    const own = copyBytes(key)
    return this.#port.later(() => readOne(view, own, tailBytes), done)
  }
  multiGetLater(cf: Cf, keys: readonly Uint8Array[], bytesMax: number, done: ReadDone<ValuesPage>): PendingRead {
    const view = this.#frozen(cf)
    const own = keys.map(copyBytes)
    return this.#port.later(() => readMany(view, own, bytesMax), done)
  }
  scanLater(options: ScanOptions, done: ReadDone<ScanPage>): PendingRead {
    const view = this.#frozen(options.cf)
    const own = { ...options, start: copyBytes(options.start), end: copyBytes(options.end) }
    return this.#port.later(() => scanTree(view, own), done)
  }

  release(): void { this.#views = undefined }

  #frozen(cf: Cf): TreeView {
    assert(this.#views !== undefined, 'engine snapshot is released')
    return this.#freeze()[cf]!
  }

  get #held(): readonly TreeView[] {
    assert(this.#views !== undefined, 'engine snapshot is released')
    return this.#views
  }
}

const tailOf = (value: Uint8Array, tailBytes: number): Uint8Array =>
  tailBytes === 0 ? emptyBytes : copyBytes(value.length <= tailBytes ? value : value.subarray(value.length - tailBytes))

export function readOne(tree: TreeView, key: Uint8Array, tailBytes: number): Uint8Array | undefined {
  const value = tree.get(key)
  return value === undefined ? undefined : tailOf(value, tailBytes)
}

function readMany(tree: TreeView, keys: readonly Uint8Array[], bytesMax: number): ValuesPage {
  const values: (Uint8Array | undefined)[] = []
  let bytes = 0
  for (const key of keys) {
    const value = tree.get(key)
    bytes += value?.length ?? 0
    if (values.length > 0 && bytes > bytesMax) return { values, more: true }
    values.push(value && copyBytes(value))
  }
  return { values, more: false }
}

function scanTree(tree: TreeView, options: ScanOptions): ScanPage {
  const { start, end, rowsMax, bytesMax } = options
  assert(rowsMax >= 1, 'a scan asks for at least one row')
  const tailBytes = options.valueTailBytes ?? wholeValue
  const rows: Row[] = []
  let bytes = 0
  let more = false
  if (end.length > 0 && compareBytes(start, end) >= 0) return { rows, more, resume: undefined }
  tree.walk(start, end, options.reverse === true, (key, value) => {
    const rowBytes = key.length + Math.min(value.length, tailBytes)
    if (rows.length > 0 && (rows.length >= rowsMax || bytes + rowBytes > bytesMax)) {
      more = true
      return false
    }
    rows.push({ key: copyBytes(key), value: tailOf(value, tailBytes) })
    bytes += rowBytes
    return true
  })
  return { rows, more, resume: undefined }
}
