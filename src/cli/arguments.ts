import { InvalidArgumentError } from 'commander'
import { timeoutMsMax } from '../client/arguments.js'
import { fromHex, utf8 } from '../common/bytes.js'
import { isAddress, withoutScheme } from '../server/config/fields.js'
import { parseDurationMs } from '../server/config/units.js'
import { usageError } from './output.js'

/** Parsers of commander: what they throw becomes a usage error, exit code 2. */
export function durationOption(text: string): number {
  const ms = parseDurationMs(text)
  if (ms === undefined || ms <= 0) throw new InvalidArgumentError('a duration such as 500ms, 10s or 2m is expected.')
  if (ms > timeoutMsMax) throw new InvalidArgumentError('at most 24 days: no timer takes more.')
  return ms
}

export function addressesOption(text: string): readonly string[] {
  const addresses = text.split(',').map(part => withoutScheme(part.trim())).filter(part => part !== '')
  const bad = addresses.find(address => !isAddress(address))
  if (bad !== undefined || addresses.length === 0) {
    throw new InvalidArgumentError(`${bad === undefined ? 'nothing' : `"${bad}"`} is not host:port.`)
  }
  return addresses
}

/** @param min, max inclusive */
export const integerOption = (min: number, max: number) => (text: string): number => {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= min && value <= max)) throw new InvalidArgumentError(`a whole number from ${min} to ${max} is expected.`)
  return value
}

/** A key or value from the command line: text, or hex with --hex. @throws CommandError */
export function bytesArgument(text: string, isHex: boolean): Uint8Array {
  if (!isHex) return utf8(text)
  const bytes = fromHex(text.replace(/^0x/, ''))
  if (bytes === undefined) throw usageError(`"${text}" is not hex: an even number of digits 0-9 a-f is expected`)
  return bytes
}
