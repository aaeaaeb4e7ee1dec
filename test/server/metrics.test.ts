/** Figures say what they mean, and what only a leader knows is gone when it leads no longer. */
import t from 'tap'
import { startCluster } from '../../src/index.js'
import { NodeMetrics } from '../../src/server/metrics.js'

const textOf = async (address: string): Promise<string> => await (await fetch(`http://${address}/metrics`)).text()

t.test('every HELP line of a store and of PD is a sentence, not its name again', async t => {
  const cluster = await startCluster({ timeoutMs: 100_000 })
  t.teardown(() => cluster.close())
  await cluster.client().raw.put('a', '1')
  const texts = [await textOf(cluster.stores[0]!.statusAddress), await textOf(cluster.pdStatusAddresses[0]!)]
  const helps = texts.flatMap(text => [...text.matchAll(/^# HELP (\S+) (.*)$/gm)].map(([, name = '', help = '']) => ({ name, help })))
  t.ok(helps.length > 60, `${helps.length} figures`)
  for (const { name, help } of helps) {
    const words = name.replace(/^karst_/, '').replaceAll('_', ' ')
    t.ok(/^[A-Z0-9].{15,}\.$/.test(help) && !help.toLowerCase().includes(words) && help !== 'Not described yet.', `${name}: ${help}`)
  }
  const pd = texts[1]!
  for (const name of ['pd_regions_without_leader', 'pd_regions_with_missing_replicas', 'pd_regions_with_pending_replicas',
    'pd_regions_with_down_replicas', 'pd_regions_with_extra_replicas', 'pd_learners', 'pd_stores_low_space']) {
    t.match(pd, new RegExp(`^karst_${name}\\{[^}]*\\} \\d`, 'm'))
  }
  t.match(pd, /karst_pd_stores_by_state\{state="up",[^}]*\} 3/)
  t.match(pd, /karst_pd_operator_events_total\{kind="addLearner",outcome="done",[^}]*\} \d/)
})

t.test('a figure that is told no more is gone', async t => {
  const metrics = new NodeMetrics({})
  t.teardown(() => { metrics.close() })
  let figures: Record<string, number> = { pd_regions: 3, 'x_total{kind="a"}': 1 }
  metrics.add(() => figures)
  t.match(await metrics.text(), /karst_pd_regions 3\n[^]*karst_x_total\{kind="a"\} 1/)
  figures = {}
  t.notMatch(await metrics.text(), /karst_pd_regions \d|karst_x_total\{/)
})
