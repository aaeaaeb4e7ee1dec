import { compareBytes } from '../../common/bytes.js'
import { regionsOverlap } from '../../common/region.js'
import type { Region } from '../../common/region.js'
import { Cf } from '../../engine/api.js'
import type { EngineReader } from '../../engine/api.js'
import { applyKey, decodeApplyState, decodeRaftKey, decodeRegion, raftKeysEnd, raftKeysStart } from '../../store/state-records.js'
import { OracleFailure } from '../failure.js'
import { hashBytes } from '../trace.js'
import { shortKey } from './client-host.js'

const file = 'sim/cluster/region-audit.ts'

/** A replica as its engine has it. */
export interface Replica {
  readonly region: Region
  readonly appliedIndex: number
  readonly hash: number
}

const shapeOf = (region: Region): string => `[${shortKey(region.startKey)}, ${shortKey(region.endKey)}) ` +
  region.peers.map(peer => `${peer.peerId}@${peer.storeId}:${peer.role}`).sort().join(' ')
export const epochOf = (region: Region): string => `${region.epoch.confVer}:${region.epoch.version}`

/**
 * What the engines of all stores say of regions, compared with everything that was seen before: one shape an epoch, ranges
 * that never overlap, peers that never move, replicas that are equal wherever they are equally far.
 */
export class RegionAudit {
  readonly #shapes = new Map<string, { readonly text: string; readonly node: string }>()
  /** version → regions that ever had it */
  readonly #byVersion = new Map<number, Map<number, Region>>()
  readonly #homes = new Map<number, string>()
  /** `region:index` → hash of rows and shape */
  readonly #contents = new Map<string, { readonly hash: number; readonly node: string }>()

  get seen(): number { return this.#contents.size }

  /** One store's engine as it is now. @returns its replicas */
  look(node: string, engine: EngineReader): readonly Replica[] {
    const replicas: Replica[] = []
    const { rows } = engine.scan({ cf: Cf.Raft, start: raftKeysStart, end: raftKeysEnd, rowsMax: 100_000, bytesMax: Infinity })
    for (const { key, value } of rows) {
      if (decodeRaftKey(key).isApply) continue
      const region = decodeRegion(value)
      this.#onRegion(node, region)
      const state = engine.get(Cf.Raft, applyKey(region.regionId))
      if (state === undefined) continue
      const { index } = decodeApplyState(state)
      const hash = this.#hash(engine, region)
      this.#onContents(node, region, index, hash)
      replicas.push({ region, appliedIndex: index, hash })
    }
    this.#checkDisjoint(node, replicas)
    return replicas
  }

  #hash(engine: EngineReader, { startKey, endKey }: Region): number {
    const { rows } = engine.scan({ cf: Cf.Default, start: startKey, end: endKey, rowsMax: 100_000, bytesMax: Infinity })
    let hash = rows.length
    for (const { key, value } of rows) hash = Math.imul(hash ^ hashBytes(key), 0x01000193) ^ hashBytes(value)
    return hash >>> 0
  }

  #onRegion(node: string, region: Region): void {
    const { regionId } = region
    const epoch = epochOf(region)
    const text = shapeOf(region)
    const known = this.#shapes.get(`${regionId}/${epoch}`)
    if (known === undefined) {
      this.#shapes.set(`${regionId}/${epoch}`, { text, node })
      this.#onNewShape(node, region)
    } else if (known.text !== text) {
      throw new OracleFailure('a region has one shape and one membership per epoch', file,
        `region ${regionId} at ${epoch}: ${text} on ${node}, ${known.text} on ${known.node}`, [regionId])
    }
  }

  #onNewShape(node: string, region: Region): void {
    const { regionId, epoch: { version } } = region
    for (const { peerId, storeId } of region.peers) {
      const home = `region ${regionId} on store ${storeId}`
      const before = this.#homes.get(peerId)
      if (before !== undefined && before !== home) {
        throw new OracleFailure('a peer id is used once', file, `peer ${peerId}: ${before}, and ${home} (${node})`, [regionId])
      }
      this.#homes.set(peerId, home)
    }
    let peers = this.#byVersion.get(version)
    if (peers === undefined) this.#byVersion.set(version, peers = new Map())
    for (const other of peers.values()) {
      if (other.regionId === regionId || !regionsOverlap(region, other)) continue
      // Versions grow with each split along a line of descent, so two regions of one version are no relatives.
      throw new OracleFailure('regions of one version do not overlap', file, `version ${version}: region ${regionId} ` +
        `${shapeOf(region)} (${node}), region ${other.regionId} ${shapeOf(other)}`, [regionId, other.regionId])
    }
    peers.set(regionId, region)
  }

  #onContents(node: string, region: Region, index: number, hash: number): void {
    const { regionId } = region
    const known = this.#contents.get(`${regionId}:${index}`)
    if (known === undefined) {
      this.#contents.set(`${regionId}:${index}`, { hash, node })
    } else if (known.hash !== hash) {
      throw new OracleFailure('replicas are equal at every applied index', file,
        `region ${regionId} at index ${index} (epoch ${epochOf(region)}): ${node} differs from ${known.node}`, [regionId])
    }
  }

  #checkDisjoint(node: string, replicas: readonly Replica[]): void {
    const sorted = [...replicas].sort((left, right) => compareBytes(left.region.startKey, right.region.startKey))
    for (let at = 1; at < sorted.length; at++) {
      const [left, right] = [sorted[at - 1]!.region, sorted[at]!.region]
      if (!regionsOverlap(left, right)) continue
      throw new OracleFailure('ranges on one store do not overlap', file,
        `${node}: region ${left.regionId} ${shapeOf(left)}, region ${right.regionId} ${shapeOf(right)}`, [left.regionId, right.regionId])
    }
  }
}

/** Do these regions cover all keys, each once? @returns what is wrong */
export function tilingMistake(regions: readonly Region[]): string | undefined {
  const sorted = [...regions].sort((left, right) => compareBytes(left.startKey, right.startKey))
  let edge: Uint8Array | undefined = new Uint8Array(0)
  for (const region of sorted) {
    if (edge === undefined) return `region ${region.regionId} begins behind the end`
    if (compareBytes(region.startKey, edge) !== 0) {
      return `region ${region.regionId} begins at ${shortKey(region.startKey)}, not at ${shortKey(edge)}`
    }
    edge = region.endKey.length === 0 ? undefined : region.endKey
  }
  return edge === undefined ? undefined : `nothing behind ${shortKey(edge)}`
}
