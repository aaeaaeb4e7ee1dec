import t from 'tap'
import { pairRounds, ratioOf } from '../../bench/paired.js'
import { remarks, summarize, summaryMarkdown, summaryTable, type Measurement } from '../../bench/report.js'

function one(system: string, client: string, round: number, perSecond: number, more: Partial<Measurement> = {}): Measurement {
  return {
    system, client, sharing: 'shared', work: 'put', inFlight: 64, rate: 0, round, operations: perSecond, failed: 0, seconds: 1, perSecond, p50: 1,
    p99: 10, p999: 20, serverCpuUs: 50, clientCpuUs: 5, firstError: undefined, ...more,
  }
}

t.test('medians over rounds, ratios of medians against the fastest client of the peer', async t => {
  const rows = summarize([
    one('karst', 'ours', 1, 300, { p99: 4 }), one('karst', 'ours', 2, 100, { p99: 6 }), one('karst', 'ours', 3, 200, { p99: 5 }),
    one('etcd', 'slow', 1, 50), one('etcd', 'slow', 2, 50), one('etcd', 'fast', 1, 90), one('etcd', 'fast', 2, 110),
  ], 'etcd')
  const row = (client: string): (typeof rows)[number] => rows.find(other => other.client === client)!
  t.equal(row('ours').perSecond, 200)
  t.same([row('ours').perSecondMin, row('ours').perSecondMax, row('ours').rounds], [100, 300, 3])
  t.equal(row('fast').perSecond, 100, 'of an even number of rounds the mean of the middle two')
  t.equal(row('ours').rateRatio, 2)
  t.equal(row('ours').p99Ratio, 0.5)
  t.equal(row('fast').rateRatio, undefined)
  t.equal(row('slow').rateRatio, undefined)
})

t.test('only like is compared with like', async t => {
  const rows = summarize([
    one('karst', 'ours', 1, 200, { sharing: 'separate' }), one('etcd', 'fast', 1, 100), one('etcd', 'other', 1, 100, { inFlight: 1, sharing: 'separate' }),
    one('etcd', 'wide', 1, 50, { sharing: 'separate' }), one('etcd', 'get', 1, 10, { work: 'get', sharing: 'separate' }),
  ], 'etcd')
  t.equal(rows.find(row => row.system === 'karst')!.rateRatio, 4)
  t.equal(summarize([one('karst', 'ours', 1, 200)], 'etcd')[0]!.rateRatio, undefined)
  t.equal(summarize([one('karst', 'ours', 1, 200)], undefined)[0]!.rateRatio, undefined)
})

t.test('remarks name clients that are the limit, and failures', async t => {
  const rows = summarize([
    one('karst', 'ours', 1, 100_000, { clientCpuUs: 9, serverCpuUs: 1, failed: 3, firstError: 'Error: no' }), one('etcd', 'fast', 1, 1_000),
  ], 'etcd')
  const texts = remarks(rows, 2)
  t.ok(texts.some(text => /ours: the client used 90 % of a core/.test(text)), texts.join('\n'))
  t.ok(texts.some(text => /3 failed, the first with: Error: no/.test(text)))
  t.notOk(texts.some(text => /cores were busy/.test(text)))
  t.ok(remarks(summarize([one('karst', 'a', 1, 10_000, { serverCpuUs: 180 })], undefined), 2).some(text => /all 2 cores were busy/.test(text)))
})

t.test('tables carry every row, for eyes and for RESULTS.md', async t => {
  const rows = summarize([one('karst', 'ours', 1, 12_345), one('etcd', 'fast', 1, 10_000, { serverCpuUs: NaN })], 'etcd')
  const table = summaryTable(rows)
  t.match(table, /put +64 +karst +ours +12,345 .* 1\.23 +1\.00 +0/)
  const lines = summaryMarkdown(rows).split('\n')
  t.equal(lines.length, 4)
  t.ok(lines.every(line => line.split('|').length === lines[0]!.split('|').length))
  t.match(lines[3], /\| – \|/, 'what is not known is a dash')
})

t.test('two versions are compared round by round: what slows the machine down for one slows it for the other', t => {
  const rates = [100, 50, 200, 90, 120]
  const measurements = rates.flatMap((rate, at) => [
    one('karst', 'ours', at + 1, rate * 1.1, { serverCpuUs: 20, clientCpuUs: 2 }), one('before', 'ours', at + 1, rate, { serverCpuUs: 18, clientCpuUs: 2 }),
  ])
  const [pair] = pairRounds(measurements, 'karst', 'before')
  t.match(pair, { work: 'put', client: 'ours', rounds: 5 })
  t.ok(Math.abs(pair!.rate.median - 1.1) < 1e-9 && Math.abs(pair!.rate.low - 1.1) < 1e-9 && Math.abs(pair!.rate.high - 1.1) < 1e-9)
  t.ok(Math.abs(pair!.cpu.median - 1.1) < 1e-9)
  t.same(pairRounds([one('karst', 'ours', 1, 1)], 'karst', 'before'), [], 'nothing to compare with')
  const spread = ratioOf([0.8, 0.9, 1, 1.1, 1.2, 1, 0.95, 1.05])
  t.ok(spread.low < spread.median && spread.median < spread.high && spread.low >= 0.8 && spread.high <= 1.2)
  t.same(spread, ratioOf([0.8, 0.9, 1, 1.1, 1.2, 1, 0.95, 1.05]), 'the same figures, the same interval')
  t.end()
})
