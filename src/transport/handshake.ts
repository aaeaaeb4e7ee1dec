import type { Hello } from '../wire/messages.js'

/** @returns why these two must not talk, or undefined. 0n is a cluster that is not known yet and fits any. */
export function helloMismatch(ours: Hello, theirs: Hello): string | undefined {
  if (theirs.protocolVersion !== ours.protocolVersion) {
    return `protocol version ${theirs.protocolVersion} is not spoken here, ${ours.protocolVersion} is`
  }
  if (ours.clusterId !== 0n && theirs.clusterId !== 0n && ours.clusterId !== theirs.clusterId) {
    return `this is cluster ${ours.clusterId}, not ${theirs.clusterId}`
  }
  return undefined
}
