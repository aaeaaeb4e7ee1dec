import { Option } from 'commander'
import type { Command } from 'commander'
import type { KeyRangeInput } from '../client/arguments.js'
import type { KarstClient } from '../client/client.js'
import { ttlSecondsMax } from '../rawkv/limits.js'
import { addressesOption, bytesArgument, durationOption, integerOption } from './arguments.js'
import { withClient } from './connection.js'
import type { Row } from '../engine/api.js'
import { bytesJson, exitCodes, isUtf8Text, printJson, printLine, printSlowly, printTable, usageError } from './output.js'
import { toHex } from '../common/bytes.js'

interface KvOptions {
  readonly pd: readonly string[]
  readonly timeout: number
  readonly keyspace: number
  readonly hex?: true
  readonly json?: true
}

interface RangeOptions extends KvOptions {
  readonly start?: string
  readonly end?: string
  readonly prefix?: string
}

interface ScanCommandOptions extends RangeOptions {
  readonly limit: number
  readonly reverse?: true
  readonly keysOnly?: true
}

const help = `
Examples:
  karst kv put hello world
  karst kv put session/42 "{...}" --ttl 3600        gone after an hour
  karst kv get hello
  karst kv del hello
  karst kv cas counter 6 --expect 5                 writes 6 if the value is 5
  karst kv cas lock me --absent                     writes if there is no such key
  karst kv batch-put a 1 b 2 c 3
  karst kv batch-get a b c
  karst kv scan --prefix user/ --limit 10
  karst kv scan --start a --end m --reverse --keys-only
  karst kv del-range --prefix tmp/
  karst kv put --hex 00ff 0a0b                      keys and values as hex
  karst kv put -- -5 --value                        behind -- nothing is an option

Exit codes: 0 done, 1 not found, not swapped or failed, 2 wrong usage, 3 the write may or may not have happened.`

export function register(program: Command): void {
  const kv = program.command('kv').description('Keys and values, from a shell').addHelpText('after', help)
  addGet(kv)
  addPut(kv)
  addDelete(kv)
  addSwap(kv)
  addBatches(kv)
  addScan(kv)
  addDeleteRange(kv)
  for (const command of kv.commands) {
    command
      .option('--pd <addresses>', 'client addresses of PD members, host:port', addressesOption, ['127.0.0.1:2379'])
      .option('--timeout <duration>', 'how long to try', durationOption, 10_000)
      .option('--keyspace <id>', 'keyspaces see nothing of each other', integerOption(0, 0xff_ffff), 0)
      .option('--hex', 'keys and values are hex, in and out')
      .option('--json', 'one JSON object on stdout')
  }
}

const isHex = (options: KvOptions): boolean => options.hex === true
const input = (text: string, options: KvOptions): Uint8Array => bytesArgument(text, isHex(options))

async function onCluster<T>(options: KvOptions, run: (client: KarstClient) => Promise<T>): Promise<T> {
  return await withClient({ pd: options.pd, timeoutMs: options.timeout, keyspace: options.keyspace }, run)
}

/** Bytes as they are for a pipe; a terminal gets hex when they are no text. */
function printBytes(bytes: Uint8Array, options: KvOptions): void {
  if (isHex(options)) printLine(toHex(bytes))
  else if (process.stdout.isTTY && !isUtf8Text(bytes)) printLine(`x'${toHex(bytes)}'`)
  else {
    process.stdout.write(bytes)
    process.stdout.write('\n')
  }
}

function notFound(key: string, options: KvOptions): void {
  if (options.json) printJson({ found: false, key })
  else process.stderr.write(`karst: no key ${key}\n`)
  process.exitCode = exitCodes.failed
}

function addGet(kv: Command): void {
  kv.command('get <key>').description('value of a key').action(async (key: string, options: KvOptions) => {
    const bytes = input(key, options)
    const value = await onCluster(options, client => client.raw.get(bytes))
    if (value === undefined) notFound(key, options)
    else if (options.json) printJson({ found: true, key, value: bytesJson(value, isHex(options)) })
    else printBytes(value, options)
  })
  kv.command('ttl <key>').description('seconds a key has left; 0 is for ever').action(async (key: string, options: KvOptions) => {
    const bytes = input(key, options)
    const ttl = await onCluster(options, client => client.raw.getTtl(bytes))
    if (ttl === undefined) notFound(key, options)
    else if (options.json) printJson({ found: true, key, ttlSeconds: ttl })
    else printLine(String(ttl))
  })
}

function addPut(kv: Command): void {
  kv.command('put <key> <value>').description('write a key')
    .option('--ttl <seconds>', 'gone after this time', integerOption(1, ttlSecondsMax))
    .option('--if-absent', 'only if there is no such key')
    .action(async (key: string, value: string, options: KvOptions & { ttl?: number; ifAbsent?: true }) => {
      const ttl = options.ttl === undefined ? {} : { ttlSeconds: options.ttl }
      if (options.ifAbsent) return await swap(key, undefined, value, { ...options, ...ttl })
      const [keyBytes, valueBytes] = [input(key, options), input(value, options)]
      await onCluster(options, client => client.raw.put(keyBytes, valueBytes, ttl))
      if (options.json) printJson({ ok: true, key })
      else printLine('ok')
    })
}

function addDelete(kv: Command): void {
  kv.command('del <key>').alias('delete').description('delete a key; it need not be there')
    .action(async (key: string, options: KvOptions) => {
      const bytes = input(key, options)
      await onCluster(options, client => client.raw.delete(bytes))
      if (options.json) printJson({ ok: true, key })
      else printLine('ok')
    })
}

function addSwap(kv: Command): void {
  kv.command('cas <key> [value]').description('write only if the key has the expected value')
    .option('--expect <value>', 'what the key must have')
    .option('--absent', 'the key must not be there')
    .option('--delete', 'delete instead of writing')
    .option('--ttl <seconds>', 'gone after this time', integerOption(1, ttlSecondsMax))
    .action(async (key: string, value: string | undefined,
      options: KvOptions & { expect?: string; absent?: true; delete?: true; ttl?: number }) => {
      if ((options.expect === undefined) === (options.absent === undefined)) throw usageError('give either --expect VALUE or --absent')
      if ((value === undefined) !== (options.delete === true)) throw usageError('give a value to write, or --delete')
      if (options.delete && options.absent) throw usageError('--delete needs --expect')
      await swap(key, options.expect, value, options.ttl === undefined ? options : { ...options, ttlSeconds: options.ttl })
    })
}

async function swap(
  key: string, expected: string | undefined, value: string | undefined, options: KvOptions & { ttlSeconds?: number },
): Promise<void> {
  const before = expected === undefined ? undefined : input(expected, options)
  const ttl = options.ttlSeconds === undefined ? {} : { ttlSeconds: options.ttlSeconds }
  const [keyBytes, valueBytes] = [input(key, options), value === undefined ? undefined : input(value, options)]
  const result = await onCluster(options, ({ raw }) => valueBytes === undefined
    ? raw.compareAndDelete(keyBytes, before ?? new Uint8Array(0))
    : raw.compareAndSwap(keyBytes, before, valueBytes, ttl))
  const previous = result.previous && bytesJson(result.previous, isHex(options))
  if (options.json) printJson({ swapped: result.swapped, key, previous: previous ?? null })
  else if (result.swapped) printLine('ok')
  else {
    const what = previous === undefined ? 'there is no such key' : `the value is ${JSON.stringify(previous)}`
    process.stderr.write(`karst: not swapped, ${what}\n`)
  }
  if (!result.swapped) process.exitCode = exitCodes.failed
}

function addBatches(kv: Command): void {
  kv.command('batch-get <keys...>').description('values of many keys').action(async (keys: string[], options: KvOptions) => {
    const wanted = keys.map(key => input(key, options))
    const values = await onCluster(options, client => client.raw.batchGet(wanted))
    const rows = keys.map((key, at) => ({ key, value: values[at] && bytesJson(values[at], isHex(options)) }))
    if (options.json) printJson({ rows: rows.map(row => ({ key: row.key, value: row.value ?? null })) })
    else printTable(['key', 'value'], rows.map(row => [row.key, row.value === undefined ? '(absent)' : shown(row.value)]))
    if (rows.some(row => row.value === undefined)) process.exitCode = exitCodes.failed
  })
  kv.command('batch-put <pairs...>').description('write many keys: key value key value …')
    .option('--ttl <seconds>', 'gone after this time', integerOption(1, ttlSecondsMax))
    .action(async (words: string[], options: KvOptions & { ttl?: number }) => {
      if (words.length % 2 !== 0) throw usageError('batch-put takes pairs: an even number of words')
      const pairs = Array.from({ length: words.length / 2 }, (_, at) =>
        [input(words[at * 2] ?? '', options), input(words[at * 2 + 1] ?? '', options)] as const)
      await onCluster(options, client => client.raw.batchPut(pairs, options.ttl === undefined ? {} : { ttlSeconds: options.ttl }))
      if (options.json) printJson({ ok: true, keys: pairs.length })
      else printLine(`ok, ${pairs.length} keys`)
    })
  kv.command('batch-del <keys...>').description('delete many keys').action(async (keys: string[], options: KvOptions) => {
    const doomed = keys.map(key => input(key, options))
    await onCluster(options, client => client.raw.batchDelete(doomed))
    if (options.json) printJson({ ok: true, keys: keys.length })
    else printLine(`ok, ${keys.length} keys`)
  })
}

type Shown = string | { readonly hex: string }
const shown = (value: Shown): string => typeof value === 'string' ? value : `x'${value.hex}'`

function rangeOf(options: RangeOptions): KeyRangeInput {
  const { start, end, prefix } = options
  if (prefix !== undefined) {
    if (start !== undefined || end !== undefined) throw usageError('--prefix stands alone; --start and --end go together')
    return { prefix: input(prefix, options) }
  }
  return { ...(start !== undefined && { start: input(start, options) }), ...(end !== undefined && { end: input(end, options) }) }
}

const withRange = (command: Command): Command => command
  .option('--start <key>', 'first key').option('--end <key>', 'first key that is not in it; "" is no bound')
  .option('--prefix <key>', 'all keys that begin so')

function addScan(kv: Command): void {
  withRange(kv.command('scan').description('rows in the order of keys'))
    .addOption(new Option('--limit <rows>', 'rows at most').argParser(integerOption(1, 1e9)).default(100))
    .option('--reverse', 'from the end downwards').option('--keys-only', 'without values')
    .action(async (options: ScanCommandOptions) => {
      const { limit, keysOnly = false } = options
      const range = rangeOf(options)
      const shownRow = (row: Row): { key: Shown; value?: Shown } =>
        ({ key: bytesJson(row.key, isHex(options)), ...(keysOnly ? {} : { value: bytesJson(row.value, isHex(options)) }) })
      await onCluster(options, async ({ raw }) => {
        // One more than is shown tells whether there is more.
        const asked = { limit: limit + 1, keysOnly }
        const scan = options.reverse ? raw.reverseScan(range, asked) : raw.scan(range, asked)
        if (options.json) {
          const all = await scan.toArray()
          const rows = all.slice(0, limit).map(shownRow)
          return printJson({ rows, count: rows.length, more: all.length > limit })
        }
        let count = 0
        for await (const row of scan) {
          if (++count > limit) {
            process.stderr.write(`karst: ${limit} rows shown, there are more: --limit takes another number\n`)
            return
          }
          const { key, value } = shownRow(row)
          await printSlowly(value === undefined ? shown(key) : `${shown(key)}\t${shown(value)}`)
        }
      })
    })
}

function addDeleteRange(kv: Command): void {
  withRange(kv.command('del-range').description('delete all keys of a range or prefix')).action(async (options: RangeOptions) => {
    const range = rangeOf(options)
    const isBounded = range.prefix !== undefined || Boolean(range.start?.length) || Boolean(range.end?.length)
    if (!isBounded) throw usageError('give --start or --end, or --prefix (--prefix "" is everything)')
    await onCluster(options, client => client.raw.deleteRange(range))
    if (options.json) printJson({ ok: true })
    else printLine('ok')
  })
}

