import { defaultDoorLimits } from '../../transport/ws-network-door.js'
import type { DoorLimits } from '../../transport/ws-network-door.js'
import { sizes } from './common-fields.js'
import type { Field, Values } from './fields.js'

const { mib, gib } = sizes

/** How many may connect. `table` is the prefix of the keys, with its dot, or nothing. */
export const connectionFields = (table: string): readonly Field[] => [
  {
    key: `${table}sockets`, kind: 'choice', default: defaultDoorLimits.sockets, choices: ['uwebsockets', 'native'],
    doc: 'Who speaks WebSocket with those who connect. native: the addon\'s own sockets, which also bound the memory of messages whose '
      + 'end has not come yet, and do not read from clients that do not read; for ports that strangers reach.',
  },
  {
    key: `${table}max-connections`, kind: 'integer', default: defaultDoorLimits.connectionsMax, min: 16, max: 1_000_000,
    doc: 'Connections at a time; a tenth of them, at most 256, is kept for stores and PD. Never more than the open files of the process '
      + 'allow. The others are answered 503 and come again.',
  },
  {
    key: `${table}max-connections-per-address`, kind: 'integer',
    default: defaultDoorLimits.connectionsPerAddressMax, min: 1, max: 1_000_000,
    doc: 'Connections of one IP address at a time, those of stores and PD apart.',
  },
  {
    key: `${table}unfinished-message-memory`, kind: 'size', default: defaultDoorLimits.unfinishedBytesMax, min: 18 * mib, max: 64 * gib,
    doc: 'Memory of messages whose end has not come yet, of all connections, with sockets = native. Beyond it, the connection with the '
      + 'largest is ended.',
  },
]

export function connectionSettings(values: Values, table: string): DoorLimits {
  return {
    sockets: values.text(`${table}sockets`) === 'native' ? 'native' : 'uwebsockets',
    connectionsMax: values.number(`${table}max-connections`),
    connectionsPerAddressMax: values.number(`${table}max-connections-per-address`),
    unfinishedBytesMax: values.number(`${table}unfinished-message-memory`),
  }
}
