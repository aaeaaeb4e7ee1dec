import { relative } from 'node:path'
import { Option } from 'commander'
import type { Command } from 'commander'
import { integerOption } from './arguments.js'
import { CommandError, exitCodes, printJson, printLine } from './output.js'
import { spawnPlayground } from './playground-processes.js'
import type { Child, PlaygroundPlan } from './playground-processes.js'

interface PlaygroundOptions {
  readonly stores: number
  readonly pd: number
  readonly dataDir: string
  readonly pdPort: number
  readonly inMemory?: true
  readonly set?: readonly string[]
  readonly json?: true
}

/** One row of what is printed, for people and machines. */
interface NodeRow {
  readonly name: string
  readonly address: string
  readonly statusAddress: string
  readonly pid: number
  readonly storeId?: number
  readonly dataDir?: string
}

interface Running {
  readonly pd: readonly NodeRow[]
  readonly stores: readonly NodeRow[]
}

const help = `
Examples:
  karst playground                          PD and 3 stores, data in ./karst-data; start it again and the data is there
  karst playground --stores 5 --pd 3
  karst playground --in-memory              nothing on disk, one process; gone when it ends
  karst playground --pd-port 0 --json       any free ports; one line with endpoints and pids, then it stays up

Every node but in --in-memory is a process of its own: kill -9 a store and see the others go on. The playground does not
start it again; it prints the command that does. Ctrl-C stops all of them and keeps the data.
Exit codes: 0 stopped as asked, 1 a node did not start, 2 wrong usage.`

const defaultPdPort = 2379
const settleMsMax = 30_000
const stopMsMax = 30_000
/** npm passes the terminal's Ctrl-C on a second time. */
const sameSignalMs = 500

export function register(program: Command): void {
  program.command('playground').description('a whole cluster on this machine').addHelpText('after', help)
    .option('--stores <count>', 'stores', integerOption(1, 32), 3)
    .option('--pd <count>', 'members of PD: 1, 3 or 5', integerOption(1, 7), 1)
    .option('--data-dir <folder>', 'where the nodes have their folders', './karst-data')
    .option('--pd-port <port>', 'of the first PD member; if it is taken, any free one. 0: any free ports for all nodes',
      integerOption(0, 65_000), defaultPdPort)
    .option('--in-memory', 'nothing on disk, all nodes in this process')
    .addOption(new Option('--set <key=value>', 'a configuration key of every store, once or more')
      .argParser((text: string, before: readonly string[] = []) => [...before, text]))
    .option('--json', 'one JSON line with endpoints and pids when it is ready')
    .action(async (options: PlaygroundOptions) => {
      process.exitCode = options.inMemory ? await runInMemory(options) : await runProcesses(options)
    })
}

// —— processes

async function runProcesses(options: PlaygroundOptions): Promise<number> {
  const startedAtMs = performance.now()
  const { dataDir, pd, stores, pdPort, set = [] } = options
  const plan: PlaygroundPlan = { stores, pd, dataDir, pdPort, set }
  if (!options.json) process.stderr.write(`starting PD and ${stores} ${stores === 1 ? 'store' : 'stores'} …\n`)
  const children = await spawnPlayground(plan)
  const all = [...children.pd, ...children.stores]
  const stopped = onStopSignal(() => { stopChildren(children) }, () => { for (const child of all) child.kill() })
  let running: Running
  try {
    running = await Promise.race([rowsOf(children), stopped.then(() => { throw new CommandError('Stopped', 'stopped while it started') })])
    const problem = await settle(running, Math.min(stores, 3))
    announce(options, running, { startedAtMs, problem })
  } catch (error) {
    stopChildren(children)
    await allGone(all)
    throw error
  }
  const state = { isStopping: false }
  void stopped.then(() => { state.isStopping = true })
  for (const child of all) void child.gone.then(end => { if (!state.isStopping) tellOfDeath(child, end) })
  await stopped
  await allGone(all)
  if (!options.json) process.stderr.write(`stopped; the data stays in ${dataDir}\n`)
  return exitCodes.ok
}

async function rowsOf(children: { readonly pd: readonly Child[]; readonly stores: readonly Child[] }): Promise<Running> {
  const row = async (child: Child): Promise<NodeRow> => {
    const { pid, address, addresses, statusAddress, storeId, dataDir } = await child.ready
    return {
      name: child.plan.name, address: address ?? addresses?.[0] ?? '', statusAddress, pid, dataDir,
      ...(storeId !== undefined && { storeId }),
    }
  }
  const [pd, stores] = await Promise.all([Promise.all(children.pd.map(row)), Promise.all(children.stores.map(row))])
  return { pd, stores }
}

/** @returns what is missing, if anything */
async function settle(running: Running, replicas: number): Promise<string | undefined> {
  const [{ openConnection }, { untilSettled }, { noLog }] = await Promise.all([
    import('../server/connection.js'), import('../server/settled.js'), import('../server/logging.js')])
  const pdAddresses = running.pd.map(one => one.address)
  const connection = openConnection({ name: 'playground', log: noLog, pdAddresses, timeoutMs: settleMsMax })
  try {
    await untilSettled(connection.pd, replicas, settleMsMax)
    return undefined
  } catch (error) {
    return (error as Error).message
  } finally {
    connection.close()
  }
}

function tellOfDeath(child: Child, end: string): void {
  const { plan, line, errors } = child
  const who = line?.storeId === undefined ? plan.name : `store ${line.storeId}`
  const rest = plan.kind === 'store' ? 'The others go on.' : 'Stores go on with what they know.'
  process.stderr.write(`\n${who} (pid ${line?.pid}) is gone: ${end}. ${rest}\n${errors.slice(-3).map(text => `  ${text}\n`).join('')}`
    + `Start it again, in another shell, with:\n  ${[karst(), ...plan.args].map(quoted).join(' ')}\n`)
}

const quoted = (word: string): string => /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll('\'', '\'\\\'\'')}'`

/** Stores first: each of them still has PD while it closes. */
function stopChildren(children: { readonly pd: readonly Child[]; readonly stores: readonly Child[] }): void {
  for (const store of children.stores) store.stop()
  const limit = setTimeout(() => { for (const child of [...children.stores, ...children.pd]) child.kill() }, stopMsMax)
  void Promise.all(children.stores.map(store => store.gone)).then(async () => {
    for (const member of children.pd) member.stop()
    await Promise.all(children.pd.map(member => member.gone))
    clearTimeout(limit)
  })
}

const allGone = async (children: readonly Child[]): Promise<void> => { await Promise.all(children.map(child => child.gone)) }

/** Resolves at the first signal, when `stop` has been called; a second one calls `kill`. */
function onStopSignal(stop: () => void, kill: () => void): Promise<void> {
  return new Promise(resolve => {
    let stoppedAtMs: number | undefined
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        if (stoppedAtMs === undefined) {
          stoppedAtMs = performance.now()
          process.stderr.write('\nstopping …\n')
          stop()
          resolve()
        } else if (performance.now() - stoppedAtMs > sameSignalMs) {
          kill()
          process.exit(130)
        }
      })
    }
  })
}

// —— in memory

async function runInMemory(options: PlaygroundOptions): Promise<number> {
  const startedAtMs = performance.now()
  const { startCluster } = await import('../server/cluster.js')
  const { pdPort, stores, pd, set = [] } = options
  const wishes = (count: number, first: number, step: number): number[] => Array.from({ length: count }, (_, at) => first + at * step)
  const cluster = await startCluster({
    stores, pd, timeoutMs: settleMsMax, storeConfig: Object.fromEntries(set.map(text => {
      const at = text.indexOf('=')
      return [text.substring(0, at < 0 ? text.length : at), at < 0 ? '' : text.substring(at + 1)]
    })),
    ...(pdPort !== 0 && {
      ports: { pd: wishes(pd, pdPort, 10), status: wishes(pd, pdPort + 1, 10), stores: wishes(stores, 20_160, 1) },
    }),
  })
  const { pid } = process
  announce(options, {
    pd: cluster.pdAddresses.map((address, at) =>
      ({ name: `pd-${at + 1}`, address, statusAddress: cluster.pdStatusAddresses[at] ?? '', pid })),
    stores: cluster.stores.map(({ storeId, address, statusAddress }, at) =>
      ({ name: `store-${at + 1}`, storeId, address, statusAddress, pid })),
  }, { startedAtMs, problem: undefined })
  await onStopSignal(() => {}, () => {})
  await cluster.close()
  return exitCodes.ok
}

// —— words

interface Outcome { readonly startedAtMs: number; readonly problem: string | undefined }

function announce(options: PlaygroundOptions, running: Running, { startedAtMs, problem }: Outcome): void {
  const tookMs = Math.round(performance.now() - startedAtMs)
  const dashboard = `http://${running.pd[0]?.statusAddress}/`
  const dataDir = options.inMemory ? null : options.dataDir
  if (options.json) {
    printJson({
      ready: problem === undefined, ...(problem !== undefined && { problem }), tookMs, pid: process.pid, dashboard, dataDir, ...running,
      endpoints: running.pd.map(one => one.address), pids: [...running.pd, ...running.stores].map(one => one.pid),
    })
    return
  }
  const pdFlag = running.pd[0]?.address === `127.0.0.1:${defaultPdPort}` ? '' : ` --pd ${running.pd.map(one => one.address).join(',')}`
  const width = Math.max(...[...running.pd, ...running.stores].map(one => one.address.length))
  const row = (who: string, one: NodeRow): string =>
    [`  ${who.padEnd(10)} ${one.address.padEnd(width)}`, `pid ${String(one.pid).padEnd(7)}`, `http://${one.statusAddress}/`,
      ...(dataDir === null ? [] : [one.name])].join('   ')
  const stores = [...running.stores].sort((left, right) => (left.storeId ?? 0) - (right.storeId ?? 0))
  const victim = stores[stores.length - 1]
  printLine([
    problem === undefined ? `karst is ready (${(tookMs / 1000).toFixed(1)} s)`
      : `karst is up, but ${problem}; karst ctl status says more`, '',
    ...running.pd.map(one => row(running.pd.length === 1 ? 'PD' : `PD ${one.name}`, one)),
    ...stores.map(one => row(`store ${one.storeId}`, one)), '',
    `  dashboard  ${dashboard}`,
    dataDir === null ? '  data       in memory, gone when this ends'
      : `  data       ${dataDir} (a folder each, logs in ${dataDir}/logs)`, '',
    'Try it, in another shell:', '',
    `  ${karst()} kv put hello world${pdFlag}`, `  ${karst()} kv get hello${pdFlag}`, `  ${karst()} ctl region${pdFlag}`,
    ...(dataDir === null || running.stores.length < 3 ? []
      : [`  kill -9 ${victim?.pid}   # store ${victim?.storeId} dies; the others go on`]), '',
    'Ctrl-C stops everything.',
  ].join('\n'))
}

/** How this program was called, for copying. */
function karst(): string {
  const called = process.argv[1] ?? 'karst'
  if (!called.endsWith('.mjs')) return 'karst'
  const path = relative(process.cwd(), called)
  return path.startsWith('.') ? path : `./${path}`
}

