import type { Command } from 'commander'
import { BenchError } from './figures.js'
import { parse, type BenchOptions } from './options.js'
import { findWorkload, workloads, type Workload } from './workloads.js'

interface Special {
  readonly name: string
  readonly about: string
  /** Loaded when asked for. */
  readonly run: (options: BenchOptions, context: RunContext) => Promise<void>
}

export interface RunContext {
  /** As it was typed, for the report. */
  readonly command: string
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal
  readonly print: (text: string) => void
  /** Was the option typed, or is it the default? */
  readonly isGiven: (option: keyof BenchOptions) => boolean
}

/** 128 + SIGINT, as shells have it. */
const interrupted = 130
const leaveMs = 5_000

const specials: readonly Special[] = [
  { name: 'failover', about: 'a leader is killed: time to the next write', run: async (...of) => await (await import('./failover.js')).runFailover(...of) },
  { name: 'startup', about: 'PD and 3 stores from nothing to the first write; idle memory and CPU',
    run: async (...of) => await (await import('./startup.js')).runStartup(...of) },
  { name: 'loop', about: 'delay of the stores\' event loops under 50 MB/s of writes', run: async (...of) => await (await import('./loop.js')).runLoop(...of) },
  { name: 'cold', about: '5 GiB, the page cache emptied: how long calls into the engine keep the event loops, also under 50 MB/s of writes',
    run: async (...of) => await (await import('./cold.js')).runCold(...of) },
]

const wordList = (): string => [...workloads, ...specials].map(({ name, about }) => `  ${name.padEnd(10)} ${about}`).join('\n')

const help = (): string => `
Workloads (default: put get):
${wordList()}

Without --pd it starts PD and three stores of its own on loopback and removes their data at the end.
Every put is on the disks of a majority before it is answered, with karst as with etcd.

Examples:
  karst bench                                   puts and gets, 1, 64 and 256 in flight
  karst bench ycsb-a ycsb-b --in-flight 64      YCSB's mixes
  karst bench put --rate 5000 --seconds 30      open loop: a slow store cannot hide what it kept waiting
  karst bench put get --vs etcd --rounds 5      the same against three etcd (Debian: etcd-server), interleaved
  karst bench put get --vs ../before --rounds 15  another version of karst; medians of the rounds' ratios, 95 % intervals
  karst bench put --pd 10.0.0.1:2379            a cluster that runs already; keys go into a keyspace of their own
  karst bench failover --vs etcd                a leader is killed, five times each`

/** `karst bench` */
export function register(program: Command): void {
  program.command('bench')
    .description('measure a cluster: throughput, latency, CPU an operation; also against etcd')
    .argument('[workload...]', 'what to run, see below', [])
    .option('--in-flight <list>', 'requests under way at a time', parse.inFlight, [1, 64, 256])
    .option('--rate <n>', 'open loop: operations a second that arrive in any case', parse.rate, 0)
    .option('--seconds <n>', 'length of one run', parse.seconds, 5)
    .option('--warm-up <n>', 'seconds of each client before its first round that do not count', parse.warmUp, 1)
    .option('--rounds <n>', 'runs of each kind; the table shows medians', parse.rounds, 3)
    .option('--records <n>', 'keys that are written before', parse.records, 100_000)
    .option('--value-bytes <n>', 'bytes of a value', parse.valueBytes, 256)
    .option('--batch-keys <n>', 'keys of batch-put and batch-get', parse.batchKeys, 100)
    .option('--scan-rows <n>', 'rows of a scan', parse.scanRows, 100)
    .option('--theta <n>', 'skew of the zipf workloads', parse.theta, 0.99)
    .option('--seed <n>', 'of keys and values', parse.seed, 1)
    .option('--client <list>', 'typescript, native, 1 or n connections; all if not given', parse.client, [])
    .option('--regions <n>', 'failover and startup: cut the data into so many regions', parse.regions, 1)
    .option('--pd <addresses>', 'a cluster that runs already', parse.address)
    .option('--keyspace <id>', 'where the keys go', parse.keyspace, 1_000)
    .option('--dir <folder>', 'data of the own cluster and of etcd; put it on the disk that is meant', 'karst-data/bench')
    .option('--vs <system>', 'compare with etcd, or with the karst of another checkout', parse.vs)
    .option('--json <file>', 'write every run, the medians and the machine\'s facts to a file')
    .option('--markdown', 'also print the result as a section for bench/RESULTS.md')
    .addHelpText('after', help())
    .action(async (names: readonly string[], options: BenchOptions, command: Command) => { await main(names, options, command) })
}

async function main(names: readonly string[], options: BenchOptions, command: Command): Promise<void> {
  const special = specials.find(one => one.name === names[0])
  if (special && names.length > 1) command.error(`error: ${special.name} stands alone`, { exitCode: 2, code: 'karst.usage' })
  const chosen = special ? [] : workloadsOf(names, command)
  if (options.pd && special) command.error(`error: ${special.name} starts and kills processes of its own: no --pd`, { exitCode: 2, code: 'karst.usage' })
  const stop = new AbortController()
  const onSignal = (): void => {
    if (stop.signal.aborted) process.exit(interrupted)
    process.stderr.write('stopping; once more to leave at once\n')
    stop.abort()
  }
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  const context: RunContext = {
    command: typedCommand(), signal: stop.signal, print: text => { process.stdout.write(`${text}\n`) },
    isGiven: option => command.getOptionValueSource(option) !== 'default',
  }
  try {
    const work = special ? special.run(options, context) : (await import('./run.js')).runWorkloads(chosen, options, context)
    await Promise.race([work, leaveAfterAbort(stop.signal)])
    if (stop.signal.aborted) process.exitCode = interrupted
  } catch (error) {
    // Whatever breaks while everything is being stopped is no news.
    if (!stop.signal.aborted && !(error instanceof BenchError)) throw error
    if (!stop.signal.aborted) process.stderr.write(`karst: ${(error as Error).message}\n`)
    process.exitCode = stop.signal.aborted ? interrupted : 1
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
  }
}

/** Never resolves. After Ctrl-C the work has some seconds to end by itself; then we leave, and our processes and data with us. */
function leaveAfterAbort(signal: AbortSignal): Promise<never> {
  return new Promise(() => {
    signal.addEventListener('abort', () => { setTimeout(() => process.exit(interrupted), leaveMs).unref() })
  })
}

function workloadsOf(names: readonly string[], command: Command): Workload[] {
  return (names.length === 0 ? ['put', 'get'] : names).map(name => {
    const found = findWorkload(name)
    if (found) return found
    const known = [...workloads, ...specials].map(one => one.name).join(' ')
    return command.error(`error: no workload ${name}; there are ${known}`, { exitCode: 2, code: 'karst.usage' })
  })
}

const typedCommand = (): string => `karst ${process.argv.slice(2).join(' ')}`
