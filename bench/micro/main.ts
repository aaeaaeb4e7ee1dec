/** `npm run bench:micro -- [suite…] [--seconds N] [--dir FOLDER] [--json FILE]`: the cost of single calls, one table. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { describe, machineFacts } from '../machine.js'
import { parse } from '../options.js'
import { asTable } from '../report.js'
import { codecs, load, regionCache } from './codecs.js'
import { engine, logFigures } from './engine.js'
import { measureCase, sink, type MicroFigure } from './micro-case.js'
import { raft } from './raft.js'
import { wire } from './wire.js'

const suites = [codecs, wire, raft, regionCache, load, engine]
const names = [...suites.map(suite => suite.name), 'raft-log']

interface Flags { readonly seconds: number; readonly dir: string; readonly json?: string }

async function main(wanted: readonly string[], flags: Flags, command: Command): Promise<void> {
  const unknown = wanted.find(name => !names.includes(name))
  if (unknown !== undefined) command.error(`error: no suite ${unknown}; there are ${names.join(' ')}`)
  const isWanted = (name: string): boolean => wanted.length === 0 || wanted.includes(name)
  const folder = join(flags.dir, `micro-${process.pid}`)
  mkdirSync(folder, { recursive: true })
  const figures: MicroFigure[] = []
  try {
    for (const suite of suites) {
      if (!isWanted(suite.name)) continue
      const { cases, close } = await suite.cases(folder)
      for (const one of cases) figures.push(measureCase(suite.name, one, flags.seconds))
      await close()
    }
    if (isWanted('raft-log')) figures.push(...await logFigures(folder))
    const machine = machineFacts(folder)
    const error = (value: number): string => Number.isNaN(value) ? '' : `±${value.toFixed(0)} %`
    const rows = figures.map(({ suite, name, us, errorPercent }, at) =>
      [figures[at - 1]?.suite === suite ? '' : suite, name, us.toFixed(3), Math.round(1e6 / us).toLocaleString('en'), error(errorPercent)])
    process.stdout.write(`${asTable(['suite', 'what', 'µs', 'per second', ''], rows, new Set(['suite', 'what']))}\n${describe(machine)}\n`)
    if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify({ machine, figures }, undefined, 1)}\n`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  if (sink.value === undefined && wanted.length === 0) throw new Error('nothing was computed')
}

await new Command('bench:micro').description('the cost of single calls').argument('[suite...]', names.join(', '), [])
  .option('--seconds <n>', 'for each case', parse.seconds, 0.4).option('--dir <folder>', 'on the disk that is meant', 'karst-data/bench')
  .option('--json <file>', 'write the figures to a file')
  .action(async (wanted: readonly string[], flags: Flags, command: Command) => { await main(wanted, flags, command) }).parseAsync()
