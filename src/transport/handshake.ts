import { utf8 } from '../common/bytes.js'
import type { Random } from '../common/env.js'
import { commonVersion, versionsOf } from '../wire/features.js'
import type { Hello } from '../wire/messages.js'

/**
 * The beginning of a connection. A client says who it is and is believed. A store or a member of PD proves that it knows the
 * cluster secret, and hears the same proof from whoever it dialled:
 *
 *   dialler  ── Hello(nonce) ──────────────▶ acceptor
 *            ◀── Hello(nonce, its proof) ───
 *            ── Proof, requests, raft … ───▶
 *
 * A proof is a MAC over both Hellos, who of the two makes it included: it cannot be played again, since both nonces are fresh,
 * nor be shown to another node or by another node, since both identities are in it.
 */

/** Known to all nodes of a cluster, and to nobody else. It does not leave whoever holds it. */
export interface ClusterSecret {
  /** @returns HMAC-SHA-256 of the message under the secret, 32 bytes */
  sign(message: Uint8Array): Uint8Array
}

export const nonceBytes = 32
const roleNumbers = { client: 0, store: 1, pd: 2 } as const
const sideBytes = 4 + 4 + 8 + 1 + 8 + 8 + nonceBytes

/** docs/PROTOCOL.md, "Proof". */
function statement(by: 'dialler' | 'acceptor', dialler: Hello, acceptor: Hello): Uint8Array {
  const label = utf8(`karst proof 1 ${by}`.padEnd(32, '\0'))
  const message = new Uint8Array(label.length + 2 * sideBytes)
  message.set(label)
  writeSide(message, label.length, dialler)
  writeSide(message, label.length + sideBytes, acceptor)
  return message
}

function writeSide(message: Uint8Array, at: number, hello: Hello): void {
  const view = new DataView(message.buffer)
  const { lowest, highest } = versionsOf(hello)
  view.setUint32(at, lowest, true)
  view.setUint32(at + 4, highest, true)
  view.setBigUint64(at + 8, hello.clusterId, true)
  view.setUint8(at + 16, roleNumbers[hello.role])
  view.setBigUint64(at + 17, BigInt(hello.nodeId), true)
  view.setBigUint64(at + 25, hello.features ?? 0n, true)
  message.set(hello.nonce ?? new Uint8Array(nonceBytes), at + 33)
}

/** Takes as long whatever the bytes are. */
function isSame(left: Uint8Array, right: Uint8Array): boolean {
  let difference = left.length ^ right.length
  for (let i = 0; i < right.length; i++) difference |= (left[i] ?? 0) ^ right[i]!
  return difference === 0
}

const hasNonce = (hello: Hello): boolean => hello.nonce?.length === nonceBytes
const nameOf = ({ role, nodeId }: Hello): string =>
  role === 'client' ? 'a client' : nodeId === 0 ? `a ${role} without an id yet` : `${role} ${nodeId}`
const otherSecret = (theirs: Hello): string => `${nameOf(theirs)} has another cluster secret than this node: `
  + 'all nodes of a cluster need the same --cluster-secret-file'
const noProof = (theirs: Hello): string =>
  `${nameOf(theirs)} proves no cluster secret: it runs an older version of karst, which cannot be in one cluster with this one`

/** @returns why these two must not talk, or undefined. 0n is a cluster that is not known yet and fits any. */
export function helloMismatch(ours: Hello, theirs: Hello): string | undefined {
  if (commonVersion(ours, theirs) === undefined) {
    return `protocol version ${textOf(theirs)} is not spoken here, ${textOf(ours)} is`
  }
  if (ours.clusterId !== 0n && theirs.clusterId !== 0n && ours.clusterId !== theirs.clusterId) {
    return `this is cluster ${ours.clusterId}, not ${theirs.clusterId}`
  }
  return undefined
}

function textOf(hello: Hello): string {
  const { lowest, highest } = versionsOf(hello)
  return lowest === highest ? String(lowest) : `${lowest} to ${highest}`
}

/** Why a connection does not come about. `isForged`: a proof was wrong. */
export interface Refusal {
  readonly reason: string
  readonly isForged: boolean
}
const refuse = (reason: string, isForged = false): Refusal => ({ reason, isForged })

/** The side that was dialled. */
export class AcceptorHandshake {
  readonly #random: Random
  readonly #hello: () => Hello
  readonly #secret: ClusterSecret
  #ours: Hello | undefined
  #theirs: Hello | undefined
  #isDone = false

  constructor(random: Random, hello: () => Hello, secret: ClusterSecret) {
    this.#random = random
    this.#hello = hello
    this.#secret = secret
  }

  /** Who is at the other end, once it is believed. */
  get peer(): Hello | undefined { return this.#isDone ? this.#theirs : undefined }
  /** What we are to the other end, since its Hello. */
  get ownRole(): Hello['role'] | undefined { return this.#ours?.role }
  get awaits(): 'hello' | 'proof' | 'nothing' {
    return this.#isDone ? 'nothing' : this.#theirs === undefined ? 'hello' : 'proof'
  }

  /** @returns our Hello, or why there is none */
  onHello(theirs: Hello): { readonly answer: Hello } | Refusal {
    const ours = this.#hello()
    const mismatch = helloMismatch(ours, theirs)
    if (mismatch !== undefined) return refuse(mismatch)
    this.#theirs = theirs
    this.#ours = ours
    if (theirs.role === 'client') {
      this.#isDone = true
      return { answer: ours }
    }
    if (!hasNonce(theirs)) return refuse(noProof(theirs))
    const greeting = { ...ours, nonce: this.#random.bytes(nonceBytes) }
    this.#ours = greeting
    return { answer: { ...greeting, proof: this.#secret.sign(statement('acceptor', theirs, greeting)) } }
  }

  onProof(proof: Uint8Array): Refusal | undefined {
    const theirs = this.#theirs!
    if (!isSame(proof, this.#secret.sign(statement('dialler', theirs, this.#ours!)))) return refuse(otherSecret(theirs), true)
    this.#isDone = true
    return undefined
  }

  /** Both sides were of no known cluster, or one was. @returns why it is over, now that more is known */
  recheck(): string | undefined {
    if (this.#ours?.clusterId !== 0n || this.#theirs?.clusterId === 0n) return undefined
    const { clusterId } = this.#hello()
    if (clusterId === 0n) return undefined
    this.#ours = { ...this.#ours, clusterId }
    return helloMismatch(this.#ours, this.#theirs!)
  }
}

/** The side that dials. */
export class DiallerHandshake {
  readonly #hello: () => Hello
  readonly #secret: ClusterSecret | undefined
  /** What we say. */
  readonly greeting: Hello
  #clusterId: bigint
  #theirs: Hello | undefined

  /** @param secret  nodes must have it; clients need none */
  constructor(random: Random, hello: () => Hello, secret: ClusterSecret | undefined) {
    this.#hello = hello
    this.#secret = secret
    const ours = hello()
    this.#clusterId = ours.clusterId
    this.greeting = ours.role === 'client' || secret === undefined ? ours : { ...ours, nonce: random.bytes(nonceBytes) }
  }

  /** @returns the proof that we owe, or why we hang up */
  onHello(theirs: Hello): { readonly proof: Uint8Array | undefined } | Refusal {
    const ours = this.greeting
    const mismatch = helloMismatch(ours, theirs)
    if (mismatch !== undefined) return refuse(mismatch)
    this.#theirs = theirs
    if (ours.nonce === undefined || this.#secret === undefined) return { proof: undefined }
    if (theirs.role === 'client' || !hasNonce(theirs) || theirs.proof === undefined) return refuse(noProof(theirs))
    const isGenuine = isSame(theirs.proof, this.#secret.sign(statement('acceptor', ours, theirs)))
    return isGenuine ? { proof: this.#secret.sign(statement('dialler', ours, theirs)) } : refuse(otherSecret(theirs), true)
  }

  /** @returns why it is over, now that our cluster is known */
  recheck(): string | undefined {
    if (this.#clusterId !== 0n || this.#theirs === undefined || this.#theirs.clusterId === 0n) return undefined
    this.#clusterId = this.#hello().clusterId
    return helloMismatch({ ...this.greeting, clusterId: this.#clusterId }, this.#theirs)
  }
}
