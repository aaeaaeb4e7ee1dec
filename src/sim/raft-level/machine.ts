import { fromUtf8, utf8 } from '../../common/bytes.js'
import type { ConfState } from '../../raft/types.js'

/** One client operation as it travels in an entry. */
export interface Command {
  readonly id: number
  readonly f: 'read' | 'write' | 'cas' | 'delete'
  readonly key: string
  readonly value: string | readonly [string | null, string] | null
}

export interface CommandResult {
  readonly swapped: boolean
  readonly previous: string | null
}

/** A key-value state machine, with a hash over everything that was ever applied. */
export class Machine {
  values = new Map<string, string>()
  index = 0
  term = 0
  history = 0
  conf: ConfState = { voters: [], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false }

  apply(data: Uint8Array): { readonly id: number; readonly result: CommandResult } | undefined {
    for (let at = 0; at < data.length; at++) this.history = Math.imul(this.history ^ data[at]!, 0x01000193)
    this.history = Math.imul(this.history ^ this.index, 0x01000193) >>> 0
    if (data.length === 0) return undefined
    const command = JSON.parse(fromUtf8(data)) as Command
    const previous = this.values.get(command.key) ?? null
    let swapped = true
    if (command.f === 'write') this.values.set(command.key, String(command.value))
    else if (command.f === 'delete') this.values.delete(command.key)
    else if (command.f === 'cas' && Array.isArray(command.value)) {
      swapped = previous === command.value[0]
      if (swapped) this.values.set(command.key, String(command.value[1]))
    }
    return { id: command.id, result: { swapped, previous } }
  }

  read(key: string): string | null { return this.values.get(key) ?? null }

  copy(): Machine {
    const twin = new Machine()
    twin.values = new Map(this.values)
    twin.index = this.index
    twin.term = this.term
    twin.history = this.history
    twin.conf = this.conf
    return twin
  }

  encode(): Uint8Array {
    return utf8(JSON.stringify({ values: [...this.values], index: this.index, term: this.term, history: this.history, conf: this.conf }))
  }

  static decode(bytes: Uint8Array): Machine {
    const from = JSON.parse(fromUtf8(bytes)) as {
      values: [string, string][]; index: number; term: number; history: number; conf: ConfState
    }
    const machine = new Machine()
    machine.values = new Map(from.values)
    machine.index = from.index
    machine.term = from.term
    machine.history = from.history
    machine.conf = from.conf
    return machine
  }
}

export const encodeCommand = (command: Command): Uint8Array => utf8(JSON.stringify(command))
