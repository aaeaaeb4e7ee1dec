import { Command, CommanderError } from 'commander'
import { karstVersion } from '../server/version.js'
import { exitCodes, usageError } from './output.js'
import { reportFailure } from './failures.js'

/** Commands with a module each; only the one that is asked for is loaded. */
interface CommandModule { readonly register: (program: Command) => void }

const commands: readonly { readonly name: string; readonly about: string; readonly load: () => Promise<CommandModule> }[] = [
  { name: 'playground', about: 'a whole cluster on this machine: PD and 3 stores', load: () => import('./playground-command.js') },
  { name: 'kv', about: 'get, put, delete, scan and swap keys', load: () => import('./kv-command.js') },
  { name: 'ctl', about: 'look at and steer a cluster: stores, regions, members', load: () => import('./ctl-command.js') },
  { name: 'pd', about: 'run a member of the Placement Driver', load: () => import('./pd-command.js') },
  { name: 'store', about: 'run a store', load: () => import('./store-command.js') },
  { name: 'bench', about: 'measure a cluster, also against etcd', load: () => optional('bench', '../../bench/bench-command.js') },
  { name: 'verify', about: 'check consistency while nodes are killed', load: () => optional('verify', '../verify/verify-command.js') },
  { name: 'sim', about: 'run clusters in a simulator, replay a seed', load: () => optional('sim', '../sim/cli.js') },
]

const examples = `
Examples:
  karst playground                        start PD and 3 stores here; Ctrl-C ends it
  karst kv put hello world                write a key
  karst kv get hello                      read it
  karst kv scan --prefix user/ --limit 10 rows in key order
  karst ctl region                        which store leads what
  karst ctl store --json                  the same for machines
  karst store --config store.toml --config-check

Every command has --help with examples, and --json. Behind -- nothing is an option: karst kv get -- -5
Exit codes: 0 done, 1 failed or not found, 2 wrong usage, 3 a write may or may not have happened.`

async function optional(name: string, specifier: string): Promise<CommandModule> {
  try {
    return await import(specifier) as CommandModule
  } catch (error) {
    const isAbsent = (error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND' && String(error).includes(specifier.substring(5))
    if (!isAbsent) throw error
    throw usageError(`karst ${name} is not part of this build`)
  }
}

/** Commander writes its own errors; with --json they become one JSON object instead. */
function prepare(command: Command, isJson: boolean): void {
  command.exitOverride().showHelpAfterError(`(karst ${pathOf(command)}--help says more)`).showSuggestionAfterError()
  if (isJson) command.configureOutput({ writeErr: () => {} })
  for (const child of command.commands) prepare(child, isJson)
}

function pathOf(command: Command): string {
  const names: string[] = []
  for (let at: Command | null = command; at !== null && at.parent !== null; at = at.parent) names.unshift(at.name())
  return names.map(name => `${name} `).join('')
}

async function main(args: readonly string[]): Promise<number> {
  const isJson = args.includes('--json') || args.some(arg => arg.startsWith('--json='))
  const program = new Command('karst').description('karst: a replicated key-value database. Regions, Raft, RocksDB.')
    .version(karstVersion(), '-V, --version').helpOption('-h, --help').addHelpText('after', examples)
  const words = args.filter(arg => !arg.startsWith('-'))
  const wanted = commands.find(({ name }) => name === (words[0] === 'help' ? words[1] : words[0]))
  try {
    for (const { name, about, load } of commands) {
      if (name === wanted?.name) (await load()).register(program)
      else program.command(name).description(about)
    }
    prepare(program, isJson)
    if (args.length === 0) {
      program.outputHelp()
      return exitCodes.usage
    }
    await program.parseAsync([...args], { from: 'user' })
    return typeof process.exitCode === 'number' ? process.exitCode : exitCodes.ok
  } catch (error) {
    if (!(error instanceof CommanderError)) return reportFailure(error, isJson)
    if (error.exitCode === 0) return exitCodes.ok
    if (isJson) return reportFailure(usageError(error.message), true)
    return exitCodes.usage
  }
}

// Only the exit code is set: what is still being written (a pipe to `head`) is not cut off.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => { if (error.code !== 'EPIPE') throw error })
}
process.exitCode = await main(process.argv.slice(2))
