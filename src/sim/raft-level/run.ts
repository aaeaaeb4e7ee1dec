import { drive } from '../drive.js'
import { OracleFailure } from '../failure.js'
import { describePlan } from '../faults.js'
import type { Outcome } from '../outcome.js'
import { lastEventsOf } from '../outcome.js'
import { SimRandom } from '../random.js'
import { Trace } from '../trace.js'
import { drawRaftLevel, RaftLevel } from './world.js'
import type { RaftLevelPlan } from './world.js'

export interface RunOptions {
  readonly seed: number
  readonly plants: ReadonlySet<string>
  /** Simulated ms after which the run ends without a verdict. */
  readonly untilMs: number | undefined
  readonly print: ((text: string) => void) | undefined
  readonly wallMs: () => number
}

const healMsMax = 60_000
const stepMs = 250

/** One seed at raft level: faults, then healing, then the verdict of the history. */
export async function runRaftLevel(options: RunOptions): Promise<Outcome> {
  const startedAt = options.wallMs()
  const random = new SimRandom(options.seed, 'raft')
  const plan = drawRaftLevel(random.fork('plan'))
  const trace = new Trace(options.print)
  const world = new RaftLevel(plan, random, trace, options.plants)
  const state = { phase: 'safety' as Outcome['phase'], failure: undefined as OracleFailure | undefined }
  const runUntil = (until: number): Promise<void> => drive({
    scheduler: world.scheduler, until: Math.min(until, options.untilMs ?? Infinity), hasPromises: false,
    afterEvent: () => { world.afterEvent() }, isOver: () => false,
  })
  try {
    world.start()
    await runUntil(plan.safetyMs)
    state.phase = 'liveness'
    if (options.untilMs === undefined || options.untilMs > plan.safetyMs) await converge(world, runUntil)
    state.phase = 'verdict'
    world.history.check([1])
    state.phase = 'done'
  } catch (error) {
    state.failure = error instanceof OracleFailure ? error
      : new OracleFailure('no exception leaves the simulator', 'sim/raft-level/run.ts',
        error instanceof Error ? error.stack ?? error.message : String(error), [1])
  }
  return {
    seed: options.seed, level: 'raft', failure: state.failure, hash: trace.hash, phase: state.phase, simulatedMs: world.scheduler.now,
    wallMs: options.wallMs() - startedAt, events: world.scheduler.events, operations: { ...world.history.counts },
    faults: Object.fromEntries(world.nemesis.counts), plan: describe(plan),
    lastEvents: state.failure === undefined ? [] : lastEventsOf(trace, [1], 40),
  }
}

/** Faults stop; a healthy cluster owes progress: everyone catches up, writes succeed, all keys can be read. */
async function converge(world: RaftLevel, runUntil: (until: number) => Promise<void>): Promise<void> {
  world.nemesis.heal()
  world.admin.stop()
  world.clients.stop()
  const started = world.scheduler.now
  let wrote = 0
  let missing: string | undefined = 'nothing tried'
  while (wrote < 2 || missing !== undefined) {
    if (world.scheduler.now - started > healMsMax) {
      throw new OracleFailure('a healed cluster converges', 'sim/raft-level/run.ts',
        `after ${healMsMax} ms: ${missing ?? `${wrote} writes`}`, [1])
    }
    world.mend()
    if (wrote < 2) {
      world.clients.write({ f: 'write', key: world.clients.keys[0]!, value: `heal-${world.scheduler.now}` }, result => {
        if (result !== undefined) wrote++
      })
    }
    await runUntil(world.scheduler.now + stepMs)
    missing = world.unconverged()
  }
  for (const key of world.clients.keys) world.clients.read(key, () => {})
  await runUntil(world.scheduler.now + 3_000)
}

function describe(plan: RaftLevelPlan): string {
  const { limits } = plan
  return `${plan.voters} voters on ${plan.machines} machines, ${plan.safetyMs} ms; ${describePlan(plan.faults)}; ` +
    `message=${limits.messageBytesMax}B inflight=${limits.inflightMax} keep=${limits.logKeep} flush=${limits.flushMs}ms ` +
    `apply=${limits.applyMs}ms; ${plan.clients} clients ${plan.keys} keys think=${plan.thinkMs}ms; ` +
    `${plan.changes ? 'changes ' : ''}${plan.transfers ? 'transfers ' : ''}every ${plan.adminMeanMs}ms`
}
