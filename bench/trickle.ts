/**
 * npm run bench:trickle -- [--seconds 60] [--rate 10] [--load-mib 0] [--away 30]
 *
 * What a cluster writes to its disks when hardly anything is asked of it: bytes a store hands to the kernel (wchar) and the
 * kernel to the disk (write_bytes), from /proc/PID/io. With --away the first store stands still for so many seconds of it;
 * then it must catch up by its log.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { connect } from '../src/server/connection.js'
import type { KarstClient } from '../src/client/client.js'

interface Ready {
  readonly endpoints: readonly string[]
  readonly stores: readonly { readonly name: string; readonly pid: number; readonly statusAddress: string }[]
}

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')
const { values } = parseArgs({ options: {
  seconds: { type: 'string', default: '60' }, rate: { type: 'string', default: '10' },
  'load-mib': { type: 'string', default: '0' }, away: { type: 'string', default: '0' },
} })
const [seconds, rate, loadMib, away] = [values.seconds, values.rate, values['load-mib'], values.away].map(Number) as
  [number, number, number, number]

function io(pid: number): { readonly logical: number; readonly physical: number } {
  const text = readFileSync(`/proc/${pid}/io`, 'utf8')
  const field = (name: string): number => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(text)![1])
  return { logical: field('wchar'), physical: field('write_bytes') }
}

async function metric(address: string, name: string): Promise<number> {
  const text = await (await fetch(`http://${address}/metrics`)).text()
  return Number(new RegExp(`^(?:karst_)?${name}(?:{[^}]*})? (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN)
}

async function load(client: KarstClient, mib: number): Promise<void> {
  const value = Buffer.alloc(64 << 10, 'x')
  for (let i = 0; i < mib * 16; i += 16) {
    await Promise.all(Array.from({ length: 16 }, (_, k) => client.raw.put(Buffer.from(`load${i + k}`), value)))
  }
}

async function trickle(client: KarstClient): Promise<void> {
  const startedAt = performance.now()
  for (let i = 0; i < seconds * rate; i++) {
    await client.raw.put(Buffer.from(`trickle${i % 100}`), Buffer.alloc(100, 'x'))
    await sleep(Math.max(0, startedAt + (i + 1) * 1000 / rate - performance.now()))
  }
}

async function measure({ endpoints, stores }: Ready): Promise<void> {
  const client = await connect({ pd: endpoints })
  await load(client, loadMib)
  // What was loaded is flushed and compacted in its own time.
  await sleep(loadMib > 0 ? 40_000 : 3_000)
  const before = stores.map(({ pid }) => io(pid))
  const snapshots = await Promise.all(stores.map(store => metric(store.statusAddress, 'snapshots_received_total')))
  const away1 = stores[0]!
  if (away > 0) {
    process.kill(away1.pid, 'SIGSTOP')
    setTimeout(() => { process.kill(away1.pid, 'SIGCONT') }, away * 1000)
  }
  await trickle(client)
  await sleep(3_000)
  for (const [i, { name, pid, statusAddress }] of stores.entries()) {
    const now = io(pid)
    const mib = (to: number, from: number): string => ((to - from) / (1 << 20)).toFixed(2)
    const received = await metric(statusAddress, 'snapshots_received_total') - snapshots[i]!
    console.log(`${name}  to disk ${mib(now.physical, before[i]!.physical)} MiB  by write ${mib(now.logical, before[i]!.logical)} MiB  ` +
      `log pinned ${await metric(statusAddress, 'raft_log_pinned_bytes')}  snapshots received ${received}`)
  }
  await client.close()
}

const folder = mkdtempSync(join(tmpdir(), 'karst-trickle-'))
const args = [join(root, 'bin/karst.mjs'), 'playground', '--pd-port', '0', '--json', '--data-dir', folder]
const cluster = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
let output = ''
const ready = await new Promise<Ready>((resolve, reject) => {
  cluster.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
    const line = output.split('\n').find(text => text.startsWith('{"ready"'))
    if (line !== undefined) resolve(JSON.parse(line) as Ready)
  })
  cluster.on('exit', code => { reject(new Error(`the playground ended with ${code}`)) })
})
console.log(`${rate} writes a second for ${seconds} s after ${loadMib} MiB${away > 0 ? `, store 1 away for ${away} s` : ''}`)
try {
  await measure(ready)
} finally {
  cluster.kill('SIGINT')
  await new Promise(resolve => cluster.on('exit', resolve))
  rmSync(folder, { recursive: true, force: true })
}
