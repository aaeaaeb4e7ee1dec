import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { openConnection } from '../../src/server/connection.js'
import type { Connection } from '../../src/server/connection.js'
import { drawClusterSecret } from '../../src/server/cluster-secret.js'
import { mustLoadConfig } from '../../src/server/config/load.js'
import { pdSchema, pdSettings } from '../../src/server/config/pd-schema.js'
import { noLog } from '../../src/server/logging.js'
import { loopbackPorts } from '../../src/server/loopback-ports.js'
import { PdProcess } from '../../src/server/pd-member.js'
import { openLogOnDisk } from '../../src/server/storage.js'

t.setTimeout(300_000)

/** Members of PD as `karst pd` makes them, each on a folder of its own. */
class Members {
  readonly running = new Map<string, PdProcess>()
  readonly fatal: Error[] = []
  readonly #secret = drawClusterSecret()
  constructor(readonly folder: string, readonly clients: ReadonlyMap<string, string>, readonly peers: ReadonlyMap<string, string>) {}

  static async create(t: Test, count: number): Promise<Members> {
    const ports = await loopbackPorts(Array.from({ length: 2 * count }, () => 0))
    const names = Array.from({ length: count }, (_, at) => `pd-${at + 1}`)
    const urls = (from: number): Map<string, string> => new Map(names.map((name, at) => [name, `http://127.0.0.1:${ports[from + at]}`]))
    const members = new Members(mkdtempSync(join(tmpdir(), 'karst-pd-')), urls(0), urls(count))
    t.teardown(async () => {
      await Promise.all([...members.running.values()].map(member => member.stop(0)))
      rmSync(members.folder, { recursive: true, force: true })
    })
    return members
  }

  make(name: string, keys: Record<string, unknown> = {}): PdProcess {
    const values = mustLoadConfig(pdSchema, {
      flags: {}, keys: {
        name, 'client-urls': [this.clients.get(name)], 'peer-urls': [this.peers.get(name)], 'status-addr': '127.0.0.1:0',
        'initial-cluster': [...this.peers].map(([other, url]) => `${other}=${url}`).join(','), 'data-dir': this.dirOf(name), ...keys,
      },
    })
    const settings = pdSettings(values)
    return new PdProcess({
      settings, log: noLog, secret: this.#secret, onFatal: error => { this.fatal.push(error) }, openStorage: () => openLogOnDisk('pd', settings.dataDir, {}),
    })
  }

  dirOf(name: string): string { return join(this.folder, name) }
  wipe(name: string): void { rmSync(this.dirOf(name), { recursive: true }) }

  async start(name: string, keys: Record<string, unknown> = {}): Promise<PdProcess> {
    const member = this.make(name, keys)
    this.running.set(name, member)
    try {
      await member.start()
    } catch (error) {
      this.running.delete(name)
      throw error
    }
    return member
  }

  async startAll(): Promise<void> { await Promise.all([...this.peers.keys()].map(name => this.start(name))) }

  async stop(name: string): Promise<void> {
    await this.running.get(name)?.stop(0)
    this.running.delete(name)
  }

  connection(t: Test, names = [...this.clients.keys()]): Connection {
    const connection = openConnection({
      name: 'test', log: noLog, pdAddresses: names.map(name => this.clients.get(name)!.replace('http://', '')), timeoutMs: 60_000,
    })
    t.teardown(() => { connection.close() })
    return connection
  }
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 3_000; tries++) {
    if (condition()) return
    await new Promise(resolve => { setTimeout(resolve, 20) })
  }
  throw new Error(`waited in vain: ${what}`)
}

t.test('a member whose folder is lost does not come back as its old self; the command that it is told replaces it', async t => {
  const members = await Members.create(t, 3)
  await members.startAll()
  const { pd } = members.connection(t, ['pd-1', 'pd-3'])
  const before = await pd.tso(1)
  const ids = Number(await pd.tso(10))
  const lead = [...members.running.values()].find(member => member.node.isLeader)!.name
  const lost = lead === 'pd-2' ? 'pd-3' : 'pd-2'
  const oldId = members.running.get(lost)!.memberId
  await members.stop(lost)
  members.wipe(lost)
  await t.rejects(members.start(lost), {
    name: 'StartupError', code: 'memberRefused', message: new RegExp(`karst ctl member replace ${lost} --pd 127\\.0\\.0\\.1:\\d+,`),
  })
  await t.rejects(members.start(lost), { code: 'memberRefused' }, 'and again: the same folder is no better')
  await t.rejects(pd.replaceMember(lead, []), { message: /leads PD/ })
  await t.rejects(pd.replaceMember('nobody', []), { message: /no member nobody/ })
  const newId = await pd.replaceMember(lost, [])
  t.ok(newId > 2 ** 32, 'no hash of a name')
  t.not(newId, oldId)
  t.equal(await pd.replaceMember(lost, []), newId, 'who asks again hears the same')
  members.wipe(lost)
  const fresh = await members.start(lost)
  t.equal(fresh.memberId, newId)
  const leader = members.running.get(lead)!
  await until('the new member is let in', () => {
    const listed = fresh.node.members()
    return listed.length === 3 && listed.some(member => member.memberId === newId) && !listed.some(member => member.memberId === oldId)
      && fresh.node.describe().applied === leader.node.describe().applied
  })
  // It counts: with the third one gone, it is half of the quorum.
  const third = ['pd-1', 'pd-2', 'pd-3'].find(name => name !== lead && name !== lost)!
  await until('it votes', () => leader.node.describe().isJoint === false && leader.node.describe().voters.includes(newId))
  await members.stop(third)
  t.ok(Number(await pd.tso(1)) > ids)
  t.ok(await pd.tso(1) > before)
  await members.stop(lost)
  const again = await members.start(lost)
  t.equal(again.memberId, newId, 'on its folder it is who it was')
  t.ok(Number(await pd.tso(1)) > ids)
  t.same(members.fatal, [])
  // Somebody else with an empty folder and this name, while the id has its bearer.
  await members.start(third)
  await members.stop(lost)
  members.wipe(lost)
  await t.rejects(members.start(lost), { code: 'memberRefused' }, 'a new id has one bearer as well')
})

t.test('a new member may live elsewhere and come by --join; it waits until it is let in', async t => {
  const members = await Members.create(t, 3)
  await members.startAll()
  const { pd } = members.connection(t)
  const gone = [...members.running.values()].find(member => !member.node.isLeader)!.name
  await members.stop(gone)
  members.wipe(gone)
  const [client, peer] = await loopbackPorts([0, 0])
  const elsewhere = {
    'client-urls': [`http://127.0.0.1:${client}`], 'peer-urls': [`http://127.0.0.1:${peer}`], 'initial-cluster': '',
    join: [...members.clients].filter(([name]) => name !== gone).map(([, url]) => url),
  }
  const newId = await pd.replaceMember(gone, [`http://127.0.0.1:${peer}`])
  const fresh = await members.start(gone, elsewhere)
  t.equal(fresh.memberId, newId)
  await until('it has caught up', () => fresh.node.clusterId === pd.clusterId && fresh.node.describe().voters.includes(newId))
  await members.stop(gone)
  const again = await members.start(gone, elsewhere)
  await until('it is back', () => again.node.describe().leader !== 0)
  t.same(members.fatal, [])
})

t.test('a member with an empty folder takes no part before every other one was heard', async t => {
  const members = await Members.create(t, 3)
  const started = ['pd-1', 'pd-2'].map(name => members.start(name))
  await new Promise(resolve => { setTimeout(resolve, 1_500) })
  for (const member of members.running.values()) t.equal(member.state, 'starting')
  const { pd } = members.connection(t)
  const last = members.start('pd-3')
  await Promise.all([...started, last])
  t.ok(await pd.tso(1) > 0n)
  // All folders but one are lost: nobody may begin anew beside it.
  for (const name of members.peers.keys()) await members.stop(name)
  members.wipe('pd-1')
  members.wipe('pd-2')
  const orphans = ['pd-1', 'pd-2'].map(name => members.start(name).catch((error: unknown) => error))
  const survivor = await members.start('pd-3')
  await new Promise(resolve => { setTimeout(resolve, 2_000) })
  for (const name of ['pd-1', 'pd-2']) t.equal(members.running.get(name)?.state, 'starting', `${name} waits`)
  t.equal(survivor.node.isLeader, false)
  await Promise.all(['pd-1', 'pd-2'].map(name => members.stop(name)))
  for (const end of await Promise.all(orphans)) t.match(end, { code: 'stopped' })
})

t.test('a member that is cut off from the others does not say that it leads', async t => {
  const members = await Members.create(t, 2)
  await members.startAll()
  const { pd } = members.connection(t)
  await pd.tso(1)
  const leader = [...members.running.values()].find(member => member.node.isLeader)!
  const other = [...members.running.keys()].find(name => name !== leader.name)!
  await members.stop(other)
  await until('its lease ends', () => !leader.node.hasLease)
  t.equal(leader.node.isLeader, false)
  t.notOk(leader.node.members().some(member => member.isLeader))
  const channel = members.connection(t).channel(leader.clientAddresses[0]!)
  const answer = await channel.call('GetMembers', {}, { timeoutMs: 5_000 })
  t.ok(answer.answered && answer.result.ok && answer.result.value.members.every(member => !member.isLeader))
  const impatient = openConnection({ name: 'test', log: noLog, pdAddresses: leader.clientAddresses, timeoutMs: 500 })
  t.teardown(() => { impatient.close() })
  await t.rejects(impatient.pd.tso(1), { message: /answers, but no member of PD leads/ })
})
