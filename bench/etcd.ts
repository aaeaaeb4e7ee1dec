import { execFileSync, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from '../src/verify/free-ports.js'
import { pause, startProcess, stopProcess } from './processes.js'

export interface EtcdCluster {
  /** Client URL of the leader: the load goes there, which is etcd's best case. */
  readonly leaderUrl: string
  readonly pids: readonly number[]
  /** Global revision: grows by one a put, so it proves that the load really wrote. */
  revision(): Promise<number>
  stop(): Promise<void>
}

export interface LoadFigures {
  readonly operations: number
  readonly failed: number
  readonly perSecond: number
  /** Latencies in ms at the percentiles named. */
  readonly p50: number
  readonly p99: number
  readonly p999: number
}

export function missingPeerTools(): string[] {
  const found = (name: string): boolean => (process.env['PATH'] ?? '').split(':').some(folder => existsSync(join(folder, name)))
  const missing: string[] = []
  if (!found('etcd')) missing.push('etcd (Debian: etcd-server)')
  if (!found('h2load')) missing.push('h2load (Debian: nghttp2-client)')
  return missing
}

/** Three etcd on loopback with their defaults: fsync on a majority before a put is answered. */
export async function startEtcd(folder: string): Promise<EtcdCluster> {
  const ports = await freePorts(6)
  const peers = [0, 1, 2].map(i => `n${i}=http://127.0.0.1:${ports[i + 3]}`).join(',')
  mkdirSync(folder, { recursive: true })
  const children: ChildProcess[] = [0, 1, 2].map(i => startProcess('etcd', [
    '--name', `n${i}`, '--data-dir', join(folder, `n${i}`), '--log-level', 'error',
    '--listen-client-urls', `http://127.0.0.1:${ports[i]}`, '--advertise-client-urls', `http://127.0.0.1:${ports[i]}`,
    '--listen-peer-urls', `http://127.0.0.1:${ports[i + 3]}`, '--initial-advertise-peer-urls', `http://127.0.0.1:${ports[i + 3]}`,
    '--initial-cluster', peers, '--initial-cluster-state', 'new', '--initial-cluster-token', 'karst-bench',
  ], join(folder, `n${i}.log`)))
  const urls = [0, 1, 2].map(i => `http://127.0.0.1:${ports[i]}`)
  const leaderUrl = await findLeader(urls)
  return {
    leaderUrl,
    pids: children.map(child => child.pid ?? 0),
    revision: async () => Number((await statusOf(leaderUrl)).header.revision),
    stop: async () => {
      await Promise.all(children.map(child => stopProcess(child)))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

interface EtcdStatus {
  readonly header: { readonly member_id: string; readonly revision: string }
  readonly leader?: string
}

async function statusOf(url: string): Promise<EtcdStatus> {
  const answer = await fetch(`${url}/v3/maintenance/status`, { method: 'POST', body: '{}', signal: AbortSignal.timeout(2_000) })
  return await answer.json() as EtcdStatus
}

async function findLeader(urls: readonly string[]): Promise<string> {
  for (let attempt = 0; attempt < 100; attempt++) {
    for (const url of urls) {
      const status = await statusOf(url).catch(() => undefined)
      if (status?.leader !== undefined && status.leader === status.header.member_id) return url
    }
    await pause(100)
  }
  throw new Error('etcd elected no leader within 10 s')
}

/** Protobuf by hand: field 1 (key), field 2 (value) of PutRequest; field 1 of RangeRequest. */
function grpcBody(fields: readonly (readonly [number, Uint8Array])[]): Buffer {
  const parts: Buffer[] = []
  for (const [field, bytes] of fields) {
    const length: number[] = []
    for (let rest = bytes.length; ; rest >>>= 7) {
      if (rest < 0x80) {
        length.push(rest)
        break
      }
      length.push((rest & 0x7f) | 0x80)
    }
    parts.push(Buffer.from([(field << 3) | 2, ...length]), Buffer.from(bytes))
  }
  const message = Buffer.concat(parts)
  const header = Buffer.alloc(5)
  header.writeUInt32BE(message.length, 1)
  return Buffer.concat([header, message])
}

/**
 * Closed loop with h2load, a native HTTP/2 client with about 10 us of CPU a request: 4 connections that multiplex, which is
 * faster for etcd here than one connection a request. Every request repeats one key: etcd's cost does not depend on it.
 */
export async function loadEtcd(cluster: EtcdCluster, options: {
  readonly work: 'put' | 'get'; readonly inFlight: number; readonly seconds: number; readonly valueBytes: number; readonly folder: string
}): Promise<LoadFigures> {
  const { work, inFlight, seconds, valueBytes, folder } = options
  const key = new TextEncoder().encode('user0000000000000042')
  const value = new Uint8Array(valueBytes).fill(0x61)
  const body = join(folder, `${work}.bin`)
  const log = join(folder, `${work}.log`)
  writeFileSync(body, work === 'put' ? grpcBody([[1, key], [2, value]]) : grpcBody([[1, key]]))
  rmSync(log, { force: true })
  const connections = Math.min(4, inFlight)
  const method = work === 'put' ? 'Put' : 'Range'
  const before = await cluster.revision()
  const output = execFileSync('h2load', ['-D', String(seconds), '-c', String(connections), '-m', String(inFlight / connections), '-t', '1',
    '-d', body, '-H', 'content-type: application/grpc', '-H', 'te: trailers', `--log-file=${log}`,
    `${cluster.leaderUrl}/etcdserverpb.KV/${method}`], { encoding: 'utf8', timeout: (seconds + 30) * 1_000 })
  const requests = /requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded/.exec(output)
  if (!requests) throw new Error(`h2load said something else:\n${output}`)
  const operations = Number(requests[3])
  const written = (await cluster.revision()) - before
  if (work === 'put' && written < operations) throw new Error(`etcd counted ${written} puts, h2load ${operations}`)
  const latencies = readLatencies(log)
  const at = (share: number): number => (latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0) / 1_000
  return {
    operations, failed: Number(requests[1]) - operations, perSecond: operations / seconds,
    p50: at(0.5), p99: at(0.99), p999: at(0.999),
  }
}

/** h2load's log: start time, HTTP status, microseconds, one request a line. */
function readLatencies(path: string): Float64Array {
  const lines = readFileSync(path, 'latin1').split('\n')
  const values = new Float64Array(lines.length)
  let count = 0
  for (const line of lines) {
    const microseconds = Number(line.substring(line.lastIndexOf('\t') + 1))
    if (line.length > 0 && microseconds > 0) values[count++] = microseconds
  }
  return values.subarray(0, count).sort()
}
