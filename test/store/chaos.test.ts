import t from 'tap'
import { emptyBytes, utf8 } from '../../src/common/bytes.js'
import { peerId, regionId, storeId } from '../../src/common/ids.js'
import type { Region } from '../../src/common/region.js'
import { BatchOp, Cf } from '../../src/engine/api.js'
import { BatchWriter } from '../../src/engine/batch-writer.js'
import { SimHistory } from '../../src/sim/history.js'
import type { Machine } from './kit.js'
import { StoreCluster } from './kit.js'

// Stores alone, without PD, wire and client library, on virtual time: clients and operators at work while stores die, links
// break, regions split and members change. The whole cluster is judged by `karst sim`; this is the short way to a store bug.

const keys = Array.from({ length: 12 }, (_, at) => `k${String(at).padStart(2, '0')}`)
const storesMax = 4

const flag = (name: string): string | undefined =>
  process.argv.find(text => text.startsWith(`--${name}=`))?.slice(name.length + 3)
/** A bug on purpose (src/store/plants.ts), by hand: does this test see it? */
const plants = flag('plant') === undefined ? undefined : new Set([flag('plant')!])

class Chaos {
  readonly cluster: StoreCluster
  readonly history = new SimHistory()
  #value = 0
  #isOver = false

  constructor(readonly seed: number) {
    const shrink = { logGcCountLimit: 3 + (seed % 40), idleFlushMs: 200 + (seed % 7) * 300, snapshotChunkBytes: 64 + (seed % 5) * 400 }
    this.cluster = new StoreCluster(storesMax, seed, { ...shrink, peerStaleMs: 5_000 }, plants)
    this.cluster.bootstrap(3)
  }

  get #world() { return this.cluster.world }
  #below(bound: number): number { return this.#world.below(bound) }

  run(ms: number): void {
    for (let i = 0; i < 4; i++) this.#client()
    this.#nemesis()
    this.#admin()
    this.#world.runFor(ms)
    this.#isOver = true
    this.cluster.cut.clear()
    for (const machine of this.cluster.machines) if (machine.store === undefined) this.cluster.start(machine)
    this.#world.runFor(3_000)
    for (const key of keys) this.#settle(key)
  }

  #client(): void {
    const next = (): void => {
      if (this.#isOver) return
      const key = keys[this.#below(keys.length)]!
      const at = this.cluster.at(key)
      const leader = this.#below(4) > 0 ? this.cluster.leader(at) : this.cluster.machines[this.#below(storesMax)]
      const region = leader?.store?.peers(regionId(at))[0]?.region
      if (leader?.store === undefined || region === undefined || region.peers.length === 0) {
        this.#world.at(this.#world.nowMs + 20, next)
        return
      }
      this.#operation(leader, key, region, next)
    }
    this.#world.at(this.#world.nowMs + this.#below(50), next)
  }

  #operation(leader: Machine, key: string, region: Region, next: () => void): void {
    const range = { start: utf8(key), end: emptyBytes, single: true }
    const context = this.cluster.context(region)
    const isRead = this.#below(2) === 0
    const value = `v${++this.#value}`
    const done = this.history.invoke(isRead ? 'read' : 'write', key, isRead ? undefined : value)
    const state = { isOpen: true }
    const end = (type: 'ok' | 'fail' | 'info', seen?: string | null): void => {
      if (!state.isOpen) return
      state.isOpen = false
      done(type, seen)
      this.#world.at(this.#world.nowMs + 5 + this.#below(40), next)
    }
    this.#world.at(this.#world.nowMs + 4_000, () => { end('info') })
    if (isRead) {
      leader.store!.read(context, range, result => {
        const bytes = result.ok ? result.value.reader.get(Cf.Default, utf8(key)) : undefined
        end(result.ok ? 'ok' : 'fail', result.ok ? (bytes === undefined ? null : Buffer.from(bytes).toString()) : undefined)
      })
      return
    }
    const records = new BatchWriter().add(BatchOp.Put, Cf.Default, utf8(key), utf8(value)).finish()
    leader.store!.write(context, range, records, result => {
      end(result.ok ? 'ok' : result.error.kind === 'Undetermined' ? 'info' : 'fail')
    })
  }

  #nemesis(): void {
    if (this.#isOver) return
    const { cluster } = this
    const machine = cluster.machines[this.#below(storesMax)]!
    const draw = this.#below(6)
    if (draw < 2 && machine.store !== undefined) {
      cluster.kill(machine, this.#world.random() < 0.5 ? 1 : this.#world.random())
      this.#world.at(this.#world.nowMs + this.#below(1_500), () => { if (machine.store === undefined) cluster.start(machine) })
    } else if (draw === 2) cluster.isolate(machine.id)
    else if (draw === 3) cluster.cut.add(`${1 + this.#below(storesMax)}>${1 + this.#below(storesMax)}`)
    else cluster.cut.clear()
    this.#world.at(this.#world.nowMs + 50 + this.#below(900), () => { this.#nemesis() })
  }

  #admin(): void {
    if (this.#isOver) return
    const { cluster } = this
    const key = keys[this.#below(keys.length)]!
    const id = cluster.at(key)
    const leader = cluster.leader(id)
    const region = leader?.store?.peers(regionId(id))[0]?.region
    if (leader?.store !== undefined && region !== undefined) this.#act(leader, region, key)
    this.#world.at(this.#world.nowMs + 100 + this.#below(800), () => { this.#admin() })
  }

  #act(leader: Machine, region: Region, key: string): void {
    const { cluster } = this
    const context = cluster.context(region)
    const draw = this.#below(5)
    if (draw === 0) leader.store!.splitRegion(context, [utf8(key)], () => {})
    else if (draw === 1) leader.store!.transferLeader(context, storeId(1 + this.#below(storesMax)), () => {})
    else {
      const learner = region.peers.find(peer => peer.role === 'learner')
      const free = cluster.machines.find(machine => !region.peers.some(peer => peer.storeId === machine.id))
      const { epoch, regionId: of } = region
      cluster.operators.length = 0
      if (learner !== undefined) cluster.operators.push({ kind: 'promoteLearner', regionId: of, epoch, peer: { ...learner, role: 'voter' } })
      else if (region.peers.length > 3) {
        cluster.operators.push({ kind: 'removePeer', regionId: of, epoch, peer: region.peers[this.#below(region.peers.length)]! })
      } else if (free !== undefined) {
        const peer = { peerId: peerId(cluster.nextId++), storeId: free.id, role: 'learner' as const }
        cluster.operators.push({ kind: 'addLearner', regionId: of, epoch, peer })
      }
    }
  }

  /** After healing every key can be read. */
  #settle(key: string): void {
    for (let tries = 0; tries < 30; tries++) {
      const leader = this.cluster.elect(this.cluster.at(key), 20_000)
      const done = this.history.invoke('read', key)
      const read = this.cluster.get(leader, key)
      this.#world.until(() => read.done === true, 2_000)
      if (read.done && read.error === undefined) {
        done('ok', read.value ?? null)
        return
      }
      done('fail')
      this.#world.runFor(200)
    }
    throw new Error(`key ${key} cannot be read after healing`)
  }

  /** Replicas of one region at one applied index hold the same rows. @returns what differs */
  differences(): string[] {
    const found: string[] = []
    const ids = new Set(this.cluster.machines.flatMap(machine => machine.store!.peers(0).map(peer => peer.region.regionId)))
    for (const id of ids) {
      const shape = this.cluster.leader(id)?.store?.peers(id)[0]?.region
      if (shape === undefined) {
        found.push(`region ${id} has no leader`)
        continue
      }
      const holders = shape.peers.map(peer => this.cluster.machines[peer.storeId - 1]!)
      const rows = (machine: Machine): string => JSON.stringify(machine.engine!.scan({
        cf: Cf.Default, start: shape.startKey, end: shape.endKey, rowsMax: 1e6, bytesMax: 1e9,
      }).rows.map(({ key, value }) => [Buffer.from(key).toString(), Buffer.from(value).toString()]))
      const isEqual = this.#world.until(() => new Set(holders.map(rows)).size === 1, 20_000)
      if (!isEqual) found.push(`region ${id} differs: ${holders.map(machine => `${machine.id}: ${rows(machine)}`).join(' | ')}`)
    }
    return found
  }
}

const first = Number(flag('seed') ?? 1)
const count = Number(flag('seeds') ?? 25)
/**
 * Seeds that once failed. 1127, 1381: a leader deposed and elected again proposed below what it had proposed before, and
 * told a write that went through that it had not. 5105: the engine had flushed a split before its child's log was synced.
 */
const corpus = flag('seed') === undefined ? [1127, 1381, 5105] : []

t.setTimeout(600_000)

t.test('whatever happens, one register per key and equal replicas in the end', t => {
  for (const seed of [...Array.from({ length: count }, (_, at) => first + at), ...corpus]) {
    const chaos = new Chaos(seed)
    try {
      chaos.run(12_000)
      chaos.history.check([1])
      t.same(chaos.cluster.fatal, [], `seed ${seed}: no store stopped by itself`)
      t.same(chaos.differences(), [], `seed ${seed}: replicas are equal`)
      t.ok(chaos.history.counts.ok > 100, `seed ${seed}: ${JSON.stringify(chaos.history.counts)}`)
    } catch (error) {
      const text = error instanceof Error ? error.stack ?? error.message : String(error)
      t.fail(`seed ${seed} (--seed=${seed} --seeds=1): ${text} ${chaos.cluster.fatal.join('; ')}`)
    }
  }
  t.end()
})
