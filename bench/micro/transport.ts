/**
 * Echo through listenRpc and openChannel, the two ends in two processes: what the transport alone costs a RawGet.
 * Run: node dist/bench/micro/transport.js [seconds per row]. With --serve it is the other end.
 */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Env, Network } from '../../src/common/env.js'
import { ok } from '../../src/common/result.js'
import { drawClusterSecret } from '../../src/server/cluster-secret.js'
import { addon } from '../../src/engine/native.js'
import { RealEnv } from '../../src/server/real-env.js'
import type { CallResult, RpcChannel } from '../../src/transport/api.js'
import { openChannel } from '../../src/transport/rpc-channel.js'
import { listenRpc } from '../../src/transport/rpc-server.js'
import { createWsNetwork } from '../../src/transport/ws-network.js'
import type { Hello } from '../../src/wire/messages.js'
import { context } from '../../test/wire/samples.js'

const timeoutMs = 10_000
const keyBytes = 20
const valueBytes = 256
const warmUpMs = 1_000

function node(name: string): { readonly env: Env; close(): void } {
  let network: (Network & { close(): void }) | undefined
  const env = new RealEnv({ name, log: () => {}, network: of => network = createWsNetwork(of, { door: addon }) })
  return { env, close: () => { network?.close(); env.close() } }
}

const hello = (role: Hello['role']): Hello => ({ protocolVersion: 1, clusterId: 0n, role, nodeId: 0 })

async function serve(): Promise<void> {
  const { env } = node('server')
  const value = new Uint8Array(valueBytes).fill(7)
  const rpc = await listenRpc({
    env, address: '127.0.0.1:0', secret: drawClusterSecret(), hello: () => hello('store'), handlers: {
      RawGet: (request, respond) => respond(ok({ value: request.key.length === keyBytes ? value : undefined })),
    },
  })
  process.send?.(rpc.address)
  process.on('disconnect', () => process.exit(0))
}

interface Load { readonly rate: number; readonly p50: number; readonly p99: number; readonly cpuMicroseconds: number }

/** Keeps `inFlight` calls under way on each channel. */
function load(env: Env, channels: readonly RpcChannel[], inFlight: number, ms: number): Promise<Load> {
  return new Promise((resolve, reject) => {
    const key = new Uint8Array(keyBytes).fill(3)
    const latencies: number[] = []
    let running = 0
    const { clock } = env
    const startedAtMs = clock.monotonicMs()
    const cpu = process.cpuUsage()
    const next = (channel: RpcChannel): void => {
      running++
      const sentAtMs = clock.monotonicMs()
      channel.send('RawGet', { context, key }, { timeoutMs }, (result: CallResult<'RawGet'>) => {
        running--
        if (!result.answered || !result.result.ok || result.result.value.value?.length !== valueBytes) {
          return reject(new Error(`a call failed: ${JSON.stringify(result)}`))
        }
        const nowMs = clock.monotonicMs()
        latencies.push(nowMs - sentAtMs)
        if (nowMs - startedAtMs < ms) return next(channel)
        if (running === 0) resolve(report(nowMs - startedAtMs))
      })
    }
    const report = (tookMs: number): Load => {
      const used = process.cpuUsage(cpu)
      latencies.sort((left, right) => left - right)
      const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? 0
      return {
        rate: latencies.length / tookMs * 1000, p50: at(0.5), p99: at(0.99),
        cpuMicroseconds: (used.user + used.system) / latencies.length,
      }
    }
    for (const channel of channels) for (let i = 0; i < inFlight; i++) next(channel)
  })
}

async function main(): Promise<void> {
  const seconds = Number(process.argv[2] ?? 3)
  const child = fork(fileURLToPath(import.meta.url), ['--serve'])
  const address = await new Promise<string>((resolve, reject) => {
    child.once('message', text => resolve(String(text)))
    child.once('exit', code => reject(new Error(`the server ended with ${code}`)))
  })
  const client = node('client')
  const rows = [[1, 1], [1, 64], [1, 256], [64, 1], [64, 4]] as const
  console.log('channels  in flight    requests/s    p50 ms    p99 ms   client CPU us')
  for (const [channelCount, inFlight] of rows) {
    const channels = Array.from({ length: channelCount },
      () => openChannel({ env: client.env, address, hello: () => hello('client') }))
    await load(client.env, channels, inFlight, Math.min(warmUpMs, seconds * 500))
    const { rate, p50, p99, cpuMicroseconds } = await load(client.env, channels, inFlight, seconds * 1000)
    console.log([String(channelCount).padStart(8), String(inFlight).padStart(9), rate.toFixed(0).padStart(12),
      p50.toFixed(3).padStart(8), p99.toFixed(3).padStart(8), cpuMicroseconds.toFixed(2).padStart(14)].join('  '))
    for (const channel of channels) channel.close()
  }
  child.disconnect()
  client.close()
}

if (process.argv.includes('--serve')) await serve()
else await main()
