import { drive } from '../drive.js'
import { OracleFailure } from '../failure.js'
import type { Outcome } from '../outcome.js'
import { lastEventsOf } from '../outcome.js'
import { SimRandom } from '../random.js'
import type { RunOptions } from '../raft-level/run.js'
import { Trace } from '../trace.js'
import { describeCluster, drawClusterPlan } from './plan.js'
import { epochOf, tilingMistake } from './region-audit.js'
import { ClusterWorld } from './world.js'

const file = 'sim/cluster/run.ts'
const formMsMax = 60_000
/** A healed quorum takes writes after this (LIVE), and all replicas are there and equal after that (CONV). */
const liveMsMax = 10_000
const convergeMsMax = 90_000
const quietMs = 8_000
const stepMs = 250

type RunUntil = (until: number) => Promise<void>

/** One seed at cluster level: a fresh cluster, faults, healing, quiet, the verdict of the history. */
export async function runClusterLevel(options: RunOptions): Promise<Outcome> {
  const startedAt = options.wallMs()
  const random = new SimRandom(options.seed, 'cluster')
  const plan = drawClusterPlan(random.fork('plan'))
  const trace = new Trace(options.print)
  const world = new ClusterWorld(plan, random, trace, options.plants)
  const state = { phase: 'safety' as Outcome['phase'], failure: undefined as OracleFailure | undefined }
  const isCut = (): boolean => options.untilMs !== undefined && world.scheduler.now >= options.untilMs
  const runUntil: RunUntil = until => drive({
    scheduler: world.scheduler, until: Math.min(until, options.untilMs ?? Infinity), hasPromises: true,
    afterEvent: () => { world.afterEvent() }, isOver: () => false,
  })
  const onRejection = (error: unknown): void => { world.guarded(() => { throw toFailure(error, 'no promise is left to itself') }) }
  process.on('unhandledRejection', onRejection)
  try {
    world.boot()
    await form(world, runUntil, isCut)
    world.startFaults()
    await runUntil(world.scheduler.now + plan.safetyMs)
    state.phase = 'liveness'
    if (!isCut()) await converge(world, runUntil)
    state.phase = 'verdict'
    world.history.check(world.oracles.safety.regionIds)
    state.phase = 'done'
  } catch (error) {
    state.failure = toFailure(error, 'no exception leaves the simulator')
  } finally {
    process.off('unhandledRejection', onRejection)
  }
  return {
    seed: options.seed, level: 'cluster', failure: state.failure, hash: trace.hash, phase: state.phase, simulatedMs: world.scheduler.now,
    wallMs: options.wallMs() - startedAt, events: world.scheduler.events, operations: { ...world.history.counts },
    faults: Object.fromEntries(world.nemesis.counts), plan: describeCluster(plan),
    lastEvents: state.failure === undefined ? [] : lastEventsOf(trace, state.failure.regions, 40),
  }
}

function toFailure(error: unknown, rule: string): OracleFailure {
  if (error instanceof OracleFailure) return error
  return new OracleFailure(rule, file, error instanceof Error ? error.stack ?? error.message : String(error))
}

/** PD elects, the first store makes the first region, the others join, the region gets its replicas. */
async function form(world: ClusterWorld, runUntil: RunUntil, isCut: () => boolean): Promise<void> {
  for (;;) {
    await runUntil(world.scheduler.now + stepMs)
    const [leader] = world.leaders()
    if (isCut() || leader?.region.peers.filter(peer => peer.role === 'voter').length === 3) return
    if (world.scheduler.now > formMsMax) throw new OracleFailure('a fresh cluster forms', file, describeState(world))
  }
}

/** Faults stop; a healthy cluster owes progress: writes to all regions, all replicas in place and equal, then quiet. */
async function converge(world: ClusterWorld, runUntil: RunUntil): Promise<void> {
  world.heal()
  const started = world.scheduler.now
  const writer = world.clients[0]!
  const unwritten = new Set(world.keys)
  let missing: string | undefined
  do {
    for (const key of unwritten) void writer.write(key).then(ok => { if (ok) unwritten.delete(key) })
    await runUntil(world.scheduler.now + stepMs)
    const tookMs = world.scheduler.now - started
    if (unwritten.size > 0 && tookMs > liveMsMax) {
      throw new OracleFailure('a healed cluster takes writes', file,
        `${[...unwritten].join(' ')}: none after ${tookMs} ms; ${describeState(world)}`)
    }
    missing = unconverged(world)
    if (missing !== undefined && tookMs > convergeMsMax) {
      throw new OracleFailure('a healed cluster converges', file, `after ${tookMs} ms: ${missing}; ${describeState(world)}`)
    }
  } while (unwritten.size > 0 || missing !== undefined)
  const before = leaderTerms(world)
  for (const key of world.keys) void writer.read(key)
  void writer.scan(false)
  await runUntil(world.scheduler.now + quietMs)
  const after = leaderTerms(world)
  for (const [regionId, term] of before) {
    const now = after.get(regionId) ?? 0
    if (now <= term + 1) continue
    throw new OracleFailure('leaders stay in quiet times', file, `region ${regionId}: term ${term}, ${quietMs} ms later ${now}`, [regionId])
  }
}

const leaderTerms = (world: ClusterWorld): ReadonlyMap<number, number> =>
  new Map(world.leaders().map(info => [info.region.regionId, info.term]))

/** Is everything in place? Says what is missing. Replicas that differ were found by the audit. */
function unconverged(world: ClusterWorld): string | undefined {
  if (world.storeHosts.some(host => host.store === undefined)) return 'a store is not up'
  const leaders = world.leaders()
  const mistake = tilingMistake(leaders.map(info => info.region))
  if (mistake !== undefined) return `leaders do not tile: ${mistake}`
  const wanted = Math.min(3, world.plan.stores)
  for (const leader of leaders) {
    const { region, lastIndex, applied } = leader
    const id = region.regionId
    const voters = region.peers.filter(peer => peer.role === 'voter').length
    if (voters !== wanted || region.peers.length !== wanted) return `region ${id} has ${voters} voters of ${region.peers.length} peers`
    if (applied !== lastIndex) return `region ${id} has applied ${applied} of ${lastIndex}`
    for (const peer of region.peers) {
      const info = world.infoOf(peer.peerId)
      if (info?.applied === applied) continue
      return `region ${id}: peer ${peer.peerId} on store ${peer.storeId} is at ${info?.applied ?? 'nothing'} of ${applied}`
    }
  }
  world.look()
  return undefined
}

function describeState(world: ClusterWorld): string {
  const leaders = world.leaders().map(({ region, term, applied, lastIndex, peerId }) =>
    `${region.regionId}/${epochOf(region)} led by ${peerId} term ${term} at ${applied}/${lastIndex} ` +
    region.peers.map(peer => `${peer.peerId}@${peer.storeId}${peer.role === 'voter' ? '' : '?'}`).join(','))
  const down = world.storeHosts.filter(host => host.store === undefined).map(host => host.node.name)
  const pds = world.pdHosts.map(host => host.pd?.isLeader === true ? `${host.node.name} leads` : host.node.name)
  return `leaders: ${leaders.join('; ') || 'none'}; not up: ${down.join(' ') || 'none'}; ${pds.join(' ')}`
}
