import { compareBytes } from '../common/bytes.js'

/**
 * A B+tree of bytes whose old versions stay readable: a node belongs to the version that made it, and a later version
 * copies it before it changes it. So a snapshot is one pointer. Deletion leaves nodes thin and drops empty ones; nodes
 * know the bytes below them, which makes "how much is before this key" logarithmic.
 */
const widthMax = 32

/** Identity of a version; nodes with the current owner may be changed in place. */
type Owner = object

interface Leaf {
  readonly owner: Owner
  readonly kind: 'leaf'
  readonly keys: Uint8Array[]
  readonly values: Uint8Array[]
  bytes: number
}

/** Keys of children[i] are in [lows[i], lows[i + 1]); lows[0] is not looked at. */
interface Inner {
  readonly owner: Owner
  readonly kind: 'inner'
  readonly lows: Uint8Array[]
  readonly children: Node[]
  bytes: number
}

type Node = Leaf | Inner

/** @returns false to stop */
export type Visit = (key: Uint8Array, value: Uint8Array) => boolean

/** First position whose key is >= key. */
function lowerBound(keys: readonly Uint8Array[], key: Uint8Array): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareBytes(keys[middle]!, key) < 0) low = middle + 1
    else high = middle
  }
  return low
}

/** The child that holds key. */
function childAt(inner: Inner, key: Uint8Array): number {
  let low = 1
  let high = inner.lows.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareBytes(inner.lows[middle]!, key) <= 0) low = middle + 1
    else high = middle
  }
  return low - 1
}

const weigh = (key: Uint8Array, value: Uint8Array): number => key.length + value.length

function sumBytes(children: readonly Node[]): number {
  let bytes = 0
  for (const child of children) bytes += child.bytes
  return bytes
}

/** One version, as a reader sees it. Empty `end` means no bound everywhere. */
export class TreeView {
  /** @param root for CowTree alone */
  constructor(public root: Node) {}

  /** Keys and values together. */
  get bytes(): number { return this.root.bytes }

  get(key: Uint8Array): Uint8Array | undefined {
    let node = this.root
    while (node.kind === 'inner') node = node.children[childAt(node, key)]!
    const at = lowerBound(node.keys, key)
    return at < node.keys.length && compareBytes(node.keys[at]!, key) === 0 ? node.values[at] : undefined
  }

  /** [start, end), upwards, or downwards from end. */
  walk(start: Uint8Array, end: Uint8Array, reverse: boolean, visit: Visit): void {
    if (reverse) walkDown(this.root, start, end, visit)
    else walkUp(this.root, start, end, visit)
  }

  /** Bytes of all rows with smaller keys; of all rows when the key is empty and `isEnd`. */
  bytesBefore(key: Uint8Array, isEnd: boolean): number {
    if (isEnd && key.length === 0) return this.root.bytes
    let bytes = 0
    let node = this.root
    while (node.kind === 'inner') {
      const child = childAt(node, key)
      for (let i = 0; i < child; i++) bytes += node.children[i]!.bytes
      node = node.children[child]!
    }
    const at = lowerBound(node.keys, key)
    for (let i = 0; i < at; i++) bytes += weigh(node.keys[i]!, node.values[i]!)
    return bytes
  }

  /** The first key with at least `bytes` before it, or the last key. */
  keyBehind(bytes: number): Uint8Array | undefined {
    let node = this.root
    let left = bytes
    while (node.kind === 'inner') {
      let child = 0
      while (child + 1 < node.children.length && node.children[child]!.bytes < left) {
        left -= node.children[child++]!.bytes
      }
      node = node.children[child]!
    }
    // When the leaf ends first, its last key is near enough.
    for (let i = 0; i < node.keys.length; i++) {
      if (left <= 0) return node.keys[i]
      left -= weigh(node.keys[i]!, node.values[i]!)
    }
    return node.keys[node.keys.length - 1]
  }
}

function walkUp(node: Node, start: Uint8Array, end: Uint8Array, visit: Visit): boolean {
  if (node.kind === 'inner') {
    for (let i = childAt(node, start); i < node.children.length; i++) {
      if (!walkUp(node.children[i]!, start, end, visit)) return false
    }
    return true
  }
  for (let i = lowerBound(node.keys, start); i < node.keys.length; i++) {
    if (end.length > 0 && compareBytes(node.keys[i]!, end) >= 0) return false
    if (!visit(node.keys[i]!, node.values[i]!)) return false
  }
  return true
}

function walkDown(node: Node, start: Uint8Array, end: Uint8Array, visit: Visit): boolean {
  if (node.kind === 'inner') {
    for (let i = end.length === 0 ? node.children.length - 1 : childAt(node, end); i >= 0; i--) {
      if (!walkDown(node.children[i]!, start, end, visit)) return false
    }
    return true
  }
  for (let i = (end.length === 0 ? node.keys.length : lowerBound(node.keys, end)) - 1; i >= 0; i--) {
    if (compareBytes(node.keys[i]!, start) < 0) return false
    if (!visit(node.keys[i]!, node.values[i]!)) return false
  }
  return true
}

/** The version that is written to. */
export class CowTree extends TreeView {
  #owner: Owner = {}

  constructor() {
    super({ owner: {}, kind: 'leaf', keys: [], values: [], bytes: 0 })
  }

  /** Everything as it is now, for ever. */
  freeze(): TreeView {
    this.#owner = {}
    return new TreeView(this.root)
  }

  /** Goes back to an earlier version of this or another tree. */
  restore(view: TreeView): void {
    this.#owner = {}
    this.root = view.root
  }

  /** Keeps both: they must not change afterwards. */
  set(key: Uint8Array, value: Uint8Array): void {
    const root = this.#own(this.root)
    const right = this.#set(root, key, value)
    this.root = right === undefined ? root : {
      owner: this.#owner, kind: 'inner', lows: [key, right.low], children: [root, right.node],
      bytes: root.bytes + right.node.bytes,
    }
  }

  delete(key: Uint8Array): void {
    if (this.get(key) === undefined) return
    this.root = this.#shrink(this.#delete(this.root, key))
  }

  /** [start, end); empty end = no bound. Whole subtrees go at once. */
  deleteRange(start: Uint8Array, end: Uint8Array): void {
    if (end.length > 0 && compareBytes(start, end) >= 0) return
    this.root = this.#shrink(this.#deleteRange(this.root, start, end, undefined, undefined))
  }

  #own<N extends Node>(node: N): N {
    if (node.owner === this.#owner) return node
    if (node.kind === 'leaf') return { ...node, owner: this.#owner, keys: [...node.keys], values: [...node.values] }
    return { ...node, owner: this.#owner, lows: [...node.lows], children: [...node.children] }
  }

  /** `node` is owned. @returns the right half when it had to be split */
  #set(node: Node, key: Uint8Array, value: Uint8Array): { low: Uint8Array; node: Node } | undefined {
    if (node.kind === 'leaf') return this.#setInLeaf(node, key, value)
    const at = childAt(node, key)
    const child = this.#own(node.children[at]!)
    node.children[at] = child
    const before = child.bytes
    const right = this.#set(child, key, value)
    node.bytes += child.bytes - before
    if (right === undefined) return undefined
    node.lows.splice(at + 1, 0, right.low)
    node.children.splice(at + 1, 0, right.node)
    node.bytes += right.node.bytes
    if (node.children.length <= widthMax) return undefined
    const lows = node.lows.splice(node.lows.length >>> 1)
    const children = node.children.splice(node.children.length >>> 1)
    const bytes = sumBytes(children)
    node.bytes -= bytes
    return { low: lows[0]!, node: { owner: this.#owner, kind: 'inner', lows, children, bytes } }
  }

  #setInLeaf(leaf: Leaf, key: Uint8Array, value: Uint8Array): { low: Uint8Array; node: Node } | undefined {
    const at = lowerBound(leaf.keys, key)
    if (at < leaf.keys.length && compareBytes(leaf.keys[at]!, key) === 0) {
      leaf.bytes += value.length - leaf.values[at]!.length
      leaf.values[at] = value
      return undefined
    }
    leaf.keys.splice(at, 0, key)
    leaf.values.splice(at, 0, value)
    leaf.bytes += weigh(key, value)
    if (leaf.keys.length <= widthMax) return undefined
    const keys = leaf.keys.splice(leaf.keys.length >>> 1)
    const values = leaf.values.splice(leaf.values.length >>> 1)
    let bytes = 0
    for (let i = 0; i < keys.length; i++) bytes += weigh(keys[i]!, values[i]!)
    leaf.bytes -= bytes
    return { low: keys[0]!, node: { owner: this.#owner, kind: 'leaf', keys, values, bytes } }
  }

  /** The key is there. @returns undefined when nothing is left */
  #delete(shared: Node, key: Uint8Array): Node | undefined {
    const node = this.#own(shared)
    if (node.kind === 'leaf') {
      const at = lowerBound(node.keys, key)
      node.bytes -= weigh(node.keys[at]!, node.values[at]!)
      node.keys.splice(at, 1)
      node.values.splice(at, 1)
      return node.keys.length === 0 ? undefined : node
    }
    const at = childAt(node, key)
    node.bytes -= node.children[at]!.bytes
    const child = this.#delete(node.children[at]!, key)
    if (child === undefined) {
      node.children.splice(at, 1)
      node.lows.splice(at, 1)
      return node.children.length === 0 ? undefined : node
    }
    node.children[at] = child
    node.bytes += child.bytes
    return node
  }

  /** @param low, high  what is known of the node's keys: [low, high) */
  #deleteRange(node: Node, start: Uint8Array, end: Uint8Array,
    low: Uint8Array | undefined, high: Uint8Array | undefined): Node | undefined {
    if (low !== undefined && compareBytes(low, start) >= 0 &&
      (end.length === 0 || (high !== undefined && compareBytes(high, end) <= 0))) return undefined
    if (node.kind === 'leaf') return this.#deleteInLeaf(node, start, end)
    const first = childAt(node, start)
    const last = end.length === 0 ? node.children.length - 1 : childAt(node, end)
    const children = node.children.slice(0, first)
    const lows = node.lows.slice(0, first)
    for (let i = first; i <= last; i++) {
      const childLow = i === 0 ? low : node.lows[i]
      const childHigh = i + 1 < node.children.length ? node.lows[i + 1] : high
      const child = this.#deleteRange(node.children[i]!, start, end, childLow, childHigh)
      if (child === undefined) continue
      children.push(child)
      lows.push(node.lows[i]!)
    }
    for (let i = last + 1; i < node.children.length; i++) {
      children.push(node.children[i]!)
      lows.push(node.lows[i]!)
    }
    if (children.length === 0) return undefined
    return { owner: this.#owner, kind: 'inner', lows, children, bytes: sumBytes(children) }
  }

  #deleteInLeaf(leaf: Leaf, start: Uint8Array, end: Uint8Array): Node | undefined {
    const from = lowerBound(leaf.keys, start)
    const to = end.length === 0 ? leaf.keys.length : lowerBound(leaf.keys, end)
    if (from >= to) return leaf
    const owned = this.#own(leaf)
    for (let i = from; i < to; i++) owned.bytes -= weigh(owned.keys[i]!, owned.values[i]!)
    owned.keys.splice(from, to - from)
    owned.values.splice(from, to - from)
    return owned.keys.length === 0 ? undefined : owned
  }

  #shrink(root: Node | undefined): Node {
    let node = root ?? { owner: this.#owner, kind: 'leaf' as const, keys: [], values: [], bytes: 0 }
    while (node.kind === 'inner' && node.children.length === 1) node = node.children[0]!
    return node
  }
}
