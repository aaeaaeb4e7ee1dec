import type { CallResult, RpcChannel } from '../../transport/api.js'
import { fromUtf8, utf8 } from '../../common/bytes.js'
import { regionContains } from '../../common/region.js'
import { engineKeyOf, wireKeyOfText } from '../../rawkv/codec.js'
import { openChannel } from '../../transport/rpc-channel.js'
import { protocolVersion } from '../../wire/messages.js'
import type { PeerInfo, RequestContext } from '../../wire/messages.js'
import type { SimEnv } from '../sim-env.js'
import type { StoreHost } from './store-host.js'
import type { ClusterWorld } from './world.js'

const timeoutMs = 1_500

/**
 * A client without a library: it knows by magic who claims to lead, reads from any of them, deposed ones too, and writes to
 * the newest. Where leases or read indexes are wrong, old and new meet here.
 */
export class Prober {
  readonly #env: SimEnv
  readonly #channels = new Map<string, RpcChannel>()
  #isStopped = false

  constructor(readonly world: ClusterWorld, env: SimEnv, readonly meanMs: number) { this.#env = env }

  start(): void { if (this.meanMs > 0) this.#next() }
  stop(): void { this.#isStopped = true }

  #next(): void {
    this.world.scheduler.after(this.world.random.exponential(this.meanMs), () => {
      if (this.#isStopped) return
      this.#env.node.enter(this.#env, () => { this.#act() })
      this.#next()
    })
  }

  #act(): void {
    const { random } = this.world
    const key = random.pick(this.world.keys)!
    const wire = wireKeyOfText(0, key)
    const engineKey = engineKeyOf(wire)
    const claims = this.world.infos().filter(({ info }) => info.role === 'leader' && regionContains(info.region, engineKey))
    if (claims.length === 0) return
    const isWrite = random.chance(0.35)
    const newest = claims.reduce((best, one) => one.info.term > best.info.term ? one : best)
    const oldest = claims.reduce((best, one) => one.info.term < best.info.term ? one : best)
    const { host, info } = isWrite ? newest : random.chance(0.7) ? oldest : newest
    if (isWrite) this.#write(host, contextOf(info), key, wire)
    else this.#read(host, contextOf(info), key, wire)
  }

  #read(host: StoreHost, context: RequestContext, key: string, wire: Uint8Array): void {
    const end = this.world.history.invoke('read', key)
    this.#channel(host).send('RawGet', { context, key: wire }, { timeoutMs }, result => {
      if (!result.answered || !result.result.ok) return end('fail')
      const { value } = result.result.value
      end('ok', value === undefined ? null : fromUtf8(value).split(';')[0])
    })
  }

  #write(host: StoreHost, context: RequestContext, key: string, wire: Uint8Array): void {
    const name = `v${this.world.nextValue()}`
    const end = this.world.history.invoke('write', key, name)
    const value = utf8(`${name};${'x'.repeat(this.world.plan.valueBytes)}`)
    this.#channel(host).send('RawPut', { context, key: wire, value, ttlSeconds: 0 }, { timeoutMs }, result => { end(outcomeOf(result)) })
  }

  #channel(host: StoreHost): RpcChannel {
    const { address } = host
    const known = this.#channels.get(address)
    if (known !== undefined) return known
    const hello = (): { protocolVersion: number; clusterId: bigint; role: 'client'; nodeId: number } =>
      ({ protocolVersion, clusterId: 0n, role: 'client', nodeId: 0 })
    const channel = openChannel({ env: this.#env, address, hello })
    this.#channels.set(address, channel)
    return channel
  }
}

const contextOf = ({ region, peerId }: PeerInfo): RequestContext =>
  ({ regionId: region.regionId, epoch: region.epoch, peerId, timeoutMs })

function outcomeOf(result: CallResult<'RawPut'>): 'ok' | 'fail' | 'info' {
  if (!result.answered) return result.failure.sent ? 'info' : 'fail'
  if (result.result.ok) return 'ok'
  return result.result.error.kind === 'Undetermined' ? 'info' : 'fail'
}
