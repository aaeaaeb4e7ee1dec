/** A hundred SIGKILLs under load. `karst verify kills --rounds 1000` is the long one. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { KillRoundsRun } from '../../src/verify/kill-rounds.js'
import { ProcessCluster } from '../../src/verify/process-cluster.js'

const rounds = 100

t.test('no acknowledged write is lost and registers stay linearizable over 100 kills', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'karst-e2e-'))
  const cluster = await ProcessCluster.start({ folder, stores: 3 })
  t.teardown(async () => {
    await cluster.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const seed = Math.floor(Math.random() * 2 ** 32)
  t.comment(`again: karst verify kills --rounds ${rounds} --seed ${seed}`)
  const run = await new KillRoundsRun({
    cluster, rounds, targets: ['kill', 'kill-leader', 'kill-all'], writers: 8, seed, historyPath: undefined,
  }).run()
  t.same(run.reasons, [])
  t.equal(run.verdict, 'passed')
  t.equal(run.rounds, rounds)
  t.equal(run.faults.filter(fault => !fault.bit).length, 0, 'every kill killed')
  t.comment(`${run.acknowledged} acknowledged, ${run.unknown} unknown, ${run.refused} refused writes; serving again after median ` +
    `${run.recoveryMs.median} ms, max ${run.recoveryMs.max} ms; ${run.seconds.toFixed(0)} s`)
})
