import { MessageType } from '../raft/types.js'
import type { Message } from '../raft/types.js'

const names: Readonly<Record<number, string>> = Object.fromEntries(Object.entries(MessageType).map(([name, number]) => [number, name]))

export function describeMessage(message: Message): string {
  const entries = message.entries.length > 0 ? ` entries=${message.entries[0]!.index}..${message.entries.at(-1)!.index}` : ''
  return `${names[message.type]} ${message.from}→${message.to} term=${message.term} index=${message.index}/${message.logTerm}` +
    ` commit=${message.commit}${message.reject ? ` reject hint=${message.rejectHint}` : ''}${entries}`
}
