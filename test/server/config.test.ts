import fc from 'fast-check'
import t from 'tap'
import { describeSchema, loadConfig } from '../../src/server/config/load.js'
import type { ConfigInput, ConfigMistake } from '../../src/server/config/load.js'
import { editDistance, nearest } from '../../src/server/config/did-you-mean.js'
import { parseField } from '../../src/server/config/fields.js'
import type { FieldKind, Schema } from '../../src/server/config/fields.js'
import { pdSchema, pdSettings } from '../../src/server/config/pd-schema.js'
import { storeSchema, storeSettings } from '../../src/server/config/store-schema.js'
import { readToml } from '../../src/server/config/toml.js'
import { formatBytes, formatDuration, parseBytes, parseDurationMs } from '../../src/server/config/units.js'
import { checkPdConfig, defaultPdConfig } from '../../src/pd/config.js'
import { defaultStoreConfig, storeConfigMistakes } from '../../src/store/config.js'

const fileOf = (text: string): ConfigInput => ({ file: { path: 'karst.toml', toml: readToml(text) }, flags: {} })

function mistakesOf(schema: Schema, input: ConfigInput): readonly ConfigMistake[] {
  const loaded = loadConfig(schema, input)
  return loaded.ok ? [] : loaded.mistakes
}

t.test('nothing given: the defaults of the rooms are in force', async t => {
  const store = loadConfig(storeSchema, { flags: {} })
  t.ok(store.ok)
  if (store.ok) t.strictSame(storeSettings(store.values).raft, defaultStoreConfig)
  const pd = loadConfig(pdSchema, { flags: {} })
  if (pd.ok) t.match(defaultPdConfig, pdSettings(pd.values).config)
  t.ok(pd.ok)
})

t.test('every wrong kind of value is refused, by file and by flag, with its place', async t => {
  const wrong: Readonly<Record<FieldKind, readonly string[]>> = {
    duration: ['5', '"5"', '"fast"', '"-1s"', 'true', '["1s"]', '"1 s"'], size: ['-1', '1.5', '"12 parsecs"', 'false', '"1e3"'],
    integer: ['1.5', '"many"', '"0x10"', 'true', '[]'],
    ratio: ['-1', '"many"', '"0x10"', 'true', '[]', '2'], boolean: ['"maybe"', '1', '"TRUE"'], text: ['1', 'true', '[]'],
    choice: ['"loud"', '3', '""'], address: ['"nowhere"', '"host:99999"', '20160', '"a b:1"', '":1"'],
    addresses: ['"nowhere"', '["127.0.0.1"]', '[1]', '7'], urls: ['["http://"]', '"http://host"', '3'],
    labels: ['"zone"', '{ zone = 1 }', '"=a"', '["a"]', '{ "a b" = "c" }'], list: ['[1]', '5', 'true'],
  }
  for (const schema of [storeSchema, pdSchema]) {
    for (const field of schema.fields) {
      for (const value of wrong[field.kind]) {
        const [table, key] = field.key.includes('.') ? [field.key.replace(/\.[^.]+$/, ''), field.key.replace(/^.*\./, '')] : ['', field.key]
        const lines = [...(table === '' ? [] : [`[${table}]`]), `${key} = ${value}`]
        const mistakes = mistakesOf(schema, fileOf(`# a comment\n${lines.join('\n')}\n`))
        const line = lines.length + 1
        t.ok(mistakes.some(one => one.where.startsWith(`karst.toml:${line}:`) && one.text.includes(field.key)),
          `${schema.program} ${field.key} = ${value}: ${JSON.stringify(mistakes)}`)
      }
    }
  }
  const flagged = mistakesOf(storeSchema, { flags: { addr: 'x', 'log-level': 'loud', labels: 'zone' } })
  t.strictSame(flagged.map(one => one.where).sort(), ['--addr', '--labels', '--log-level'])
})

t.test('bounds are named with their unit', async t => {
  const [low] = mistakesOf(storeSchema, fileOf('raftstore.raft-base-tick-interval = "1ms"'))
  t.match(low?.text, /at least 10 ms, is 1 ms/)
  const [high] = mistakesOf(storeSchema, fileOf('server.snap-chunk-size = "1GiB"'))
  t.match(high?.text, /at most 4194304 bytes/)
})

t.test('all mistakes of a file are reported at once, in the order of lines', async t => {
  const mistakes = mistakesOf(storeSchema, fileOf([
    '[server]', 'adr = "127.0.0.1:1"', 'addr = "nowhere"', '[raftstore]', 'raft-heartbeat-ticks = "x"', 'this is no TOML',
    'raft-election-timeout-ticks = 4', 'vote-guard-ticks = 5', '[storge]', 'data-dir = "x"'].join('\n')))
  t.strictSame(mistakes.map(one => Number(/:(\d+):/.exec(one.where)?.[1])), [2, 3, 5, 6, 8, 8, 10])
  t.match(mistakes.map(one => one.text).join('\n'), /unknown key server\.adr; did you mean server\.addr\?/)
  t.match(mistakes.map(one => one.text).join('\n'), /storge\.data-dir; did you mean storage\.data-dir\?/)
  t.match(mistakes.map(one => one.text).join('\n'), /vote-guard-ticks must be less than/)
})

t.test('relations between keys', async t => {
  const of = (schema: Schema, keys: Record<string, unknown>): string => mistakesOf(schema, { flags: {}, keys }).map(one => one.text).join('\n')
  t.match(of(storeSchema, { 'raftstore.raft-heartbeat-ticks': 20 }), /must exceed raftstore.raft-heartbeat-ticks/)
  t.match(of(storeSchema, { 'raftstore.vote-guard-ticks': 15 }), /must be less than/)
  t.match(of(storeSchema, { 'raftstore.raft-store-max-leader-lease': '600ms' }), /10 % shorter/)
  t.match(of(storeSchema, { 'server.addr': '0.0.0.0:20160' }), /say in server.advertise-addr how others reach it/)
  t.equal(of(storeSchema, { 'server.addr': '0.0.0.0:20160', 'server.advertise-addr': '10.0.0.7:20160' }), '')
  t.match(of(storeSchema, { 'server.advertise-addr': '0.0.0.0:1' }), /others can reach/)
  t.match(of(storeSchema, { 'server.addr': '' }), /must not be empty/)
  t.match(of(storeSchema, { 'storage.data-dir': '' }), /must not be empty/)
  t.match(of(pdSchema, { 'data-dir': '' }), /must not be empty/)
  t.match(of(storeSchema, { 'pd.endpoints': [] }), /must name a PD member/)
  t.match(of(pdSchema, { lease: '700ms' }), /lease must be 10 % shorter/)
  t.match(of(pdSchema, { 'client-urls': 'http://0.0.0.0:2379' }), /advertise-client-urls/)
  t.match(of(pdSchema, { 'initial-cluster': 'a=http://h:1', name: 'b' }), /names a, but this member is called b/)
  t.match(of(pdSchema, { 'initial-cluster': 'a' }), /"a" is not name=url/)
  t.match(of(pdSchema, { 'initial-cluster': 'a=nowhere', name: 'a' }), /"nowhere" is not a URL/)
  t.match(of(pdSchema, { name: 'a b' }), /letters, digits/)
  t.match(of(pdSchema, { 'schedule.max-store-down-time': '5s' }), /at least 20s/)
  t.match(of(pdSchema, { 'tick-interval': '1s' }), /tso-save-interval|election-interval/)
  t.match(of(storeSchema, { nonsense: 1 }), /unknown key nonsense/)
})

t.test('a relation says nothing about a value that is broken by itself', async t => {
  const mistakes = mistakesOf(storeSchema, fileOf('raftstore.raft-heartbeat-ticks = "x"\nraftstore.raft-election-timeout-ticks = 20'))
  t.equal(mistakes.length, 1)
})

t.test('flags win over the file, programs over both; labels of a table are one value', async t => {
  const loaded = loadConfig(storeSchema, {
    file: { path: 'a.toml', toml: readToml('server.addr = "127.0.0.1:1"\n[server.labels]\nzone = "a"\nhost = "h1"\n[pd]\nendpoints = "a:1,b:2"') },
    flags: { addr: 'http://127.0.0.1:2' }, keys: { 'server.status-addr': '' },
  })
  t.ok(loaded.ok)
  if (!loaded.ok) return
  const settings = storeSettings(loaded.values)
  t.equal(settings.address, '127.0.0.1:2')
  t.equal(settings.statusAddress, '')
  t.strictSame(settings.labels, { zone: 'a', host: 'h1' })
  t.strictSame(settings.pdAddresses, ['a:1', 'b:2'])
  t.equal(loaded.values.all()['server.graceful-shutdown-timeout'], '20s')
})

t.test('whatever the schema lets through, the rooms accept', async t => {
  const ticks = fc.integer({ min: 1, max: 40 })
  fc.assert(fc.property(fc.integer({ min: 1, max: 400 }), ticks, ticks, ticks, fc.integer({ min: 1, max: 4_000 }), (tick, beat, election, guard, lease) => {
    const loaded = loadConfig(storeSchema, {
      flags: {}, keys: {
        'raftstore.raft-base-tick-interval': `${tick}ms`, 'raftstore.raft-heartbeat-ticks': beat, 'raftstore.vote-guard-ticks': guard,
        'raftstore.raft-election-timeout-ticks': election, 'raftstore.raft-store-max-leader-lease': `${lease}ms`,
      },
    })
    return !loaded.ok || storeConfigMistakes(storeSettings(loaded.values).raft).length === 0
  }), { numRuns: 2_000 })
  const ms = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max })
  fc.assert(fc.property(ms(2_000), ms(20_000), ms(5_000), (tick, election, lease) => {
    const loaded = loadConfig(pdSchema, {
      flags: {}, keys: { 'tick-interval': `${tick}ms`, 'election-interval': `${election}ms`, lease: `${lease}ms` },
    })
    return !loaded.ok || checkPdConfig({ ...defaultPdConfig, ...pdSettings(loaded.values).config }).length === 0
  }), { numRuns: 2_000, examples: [[10, 50, 10]] })
  t.pass('4,000 configurations')
})

t.test('every field is documented, within its own bounds, and its flag is unique', async t => {
  for (const schema of [storeSchema, pdSchema]) {
    const flags = schema.fields.flatMap(field => field.flag ?? [])
    t.equal(new Set(flags).size, flags.length)
    for (const field of schema.fields) {
      t.ok(field.doc.length > 10, field.key)
      const raw = field.kind === 'duration' ? `${Number(field.default)}ms` : field.default
      t.ok('value' in parseField(field, raw), `the default of ${field.key}`)
    }
    t.equal(describeSchema(schema).length, schema.fields.length)
  }
})

t.test('units', async t => {
  t.equal(parseDurationMs('1m30s'), 90_000)
  t.equal(parseDurationMs('1.5s'), 1_500)
  t.equal(parseDurationMs('0'), 0)
  t.equal(parseDurationMs('10'), undefined)
  t.equal(parseBytes('96MiB'), 96 << 20)
  t.equal(parseBytes('1.5KB'), 1_536)
  t.equal(parseBytes(7), 7)
  t.equal(parseBytes(-7), undefined)
  fc.assert(fc.property(fc.integer({ min: 0, max: 10 ** 9 }), ms => parseDurationMs(formatDuration(ms)) === ms))
  fc.assert(fc.property(fc.integer({ min: 0, max: 2 ** 45 }), bytes => parseBytes(formatBytes(bytes)) === bytes))
})

t.test('did you mean', async t => {
  t.equal(editDistance('addr', 'adrd'), 1)
  t.equal(editDistance('', 'abc'), 3)
  t.equal(nearest('adrr', ['addr', 'labels']), 'addr')
  t.equal(nearest('zzzzzzzz', ['addr', 'labels']), undefined)
})
