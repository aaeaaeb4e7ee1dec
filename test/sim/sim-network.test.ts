// Streams between simulated machines: what TCP promises, and how it breaks.
import t from 'tap'
import type { Connection, ConnectionHandler } from '../../src/common/env.js'
import { Links } from '../../src/sim/links.js'
import { SimRandom } from '../../src/sim/random.js'
import { Scheduler } from '../../src/sim/scheduler.js'
import { SimNode } from '../../src/sim/sim-env.js'
import type { SimEnv, SimWorld } from '../../src/sim/sim-env.js'
import { SimNetwork } from '../../src/sim/sim-network.js'
import { Trace } from '../../src/sim/trace.js'

/** Two machines; `b` listens and writes down what it gets. */
class Rig implements SimWorld {
  readonly random = new SimRandom(7, 'rig')
  readonly scheduler = new Scheduler(this.random.fork('scheduler'))
  readonly trace = new Trace(undefined)
  readonly links = new Links(this.random.fork('links'))
  readonly network = new SimNetwork(this.links, this.random.fork('network'))
  readonly a = this.#machine('a')
  readonly b = this.#machine('b')
  readonly log: string[] = []
  atB: Connection | undefined

  #machine(name: string): SimNode {
    const node = new SimNode(this, name)
    this.network.know(node)
    return node
  }

  onCrash(_node: SimNode, error: unknown): void { throw error as Error }
  onEnded(): void {}
  onFailpoint(): void {}
  networkOf(env: SimEnv): ReturnType<SimNetwork['of']> {
    env.onEnd(() => { this.network.ended(env, !env.node.isMachineUp) })
    return this.network.of(env)
  }

  run(ms: number): void { for (const until = this.scheduler.now + ms; this.scheduler.step(until);) continue }

  async listen(): Promise<void> {
    await this.b.boot().network.listen('b:1', connection => {
      this.atB = connection
      return this.#noting('b')
    })
  }

  dial(): Connection {
    const connection = this.a.boot().network.dial('b:1', this.#noting('a'))
    this.run(10)
    return connection
  }

  #noting(who: string): ConnectionHandler {
    return {
      onOpen: () => { this.log.push(`${who} open`) },
      onMessage: bytes => { this.log.push(`${who} ${bytes.join(',')}`) },
      onClose: () => { this.log.push(`${who} closed`) },
      onDrain: () => { this.log.push(`${who} drained`) },
    }
  }

  take(): string[] { return this.log.splice(0) }
}

async function connected(): Promise<{ rig: Rig; connection: Connection }> {
  const rig = new Rig()
  await rig.listen()
  const connection = rig.dial()
  t.same(rig.take(), ['a open'])
  return { rig, connection }
}

t.test('messages arrive once, in order, both ways, whatever the links do to single packets', async t => {
  const { rig, connection } = await connected()
  rig.links.quality = { delayMinMs: 0.1, delayMeanMs: 5, loss: 0.3, duplicate: 0.5, reorder: 0.5, reorderMs: 50 }
  for (let i = 0; i < 50; i++) connection.send(Uint8Array.of(i))
  rig.atB!.send(Uint8Array.of(99))
  rig.run(60_000)
  const got = rig.take()
  t.same(got.filter(line => line.startsWith('b ')), Array.from({ length: 50 }, (_, i) => `b ${i}`))
  t.same(got.filter(line => line.startsWith('a ')), ['a 99'])
})

t.test('borrowed bytes are overwritten when the handler has returned', async t => {
  const rig = new Rig()
  const kept: Uint8Array[] = []
  await rig.b.boot().network.listen('b:1', () => ({ onMessage: bytes => { kept.push(bytes) }, onClose: () => {} }))
  rig.dial().send(Uint8Array.of(1, 2))
  rig.run(10)
  t.same([...kept[0]!], [0xcc, 0xcc])
})

t.test('a cut holds bytes back one way; they arrive when it heals', async t => {
  const { rig, connection } = await connected()
  rig.links.cut('a', 'b')
  connection.send(Uint8Array.of(1))
  rig.atB!.send(Uint8Array.of(2))
  rig.run(5_000)
  t.same(rig.take(), ['a 2'])
  rig.links.healPartitions()
  rig.run(1_000)
  t.same(rig.take(), ['b 1'])
})

t.test('a cut that lasts breaks the stream; what was sent is lost', async t => {
  const { rig, connection } = await connected()
  rig.links.cut('a', 'b')
  connection.send(Uint8Array.of(1))
  rig.run(20_000)
  t.same(rig.take(), ['a closed'])
  t.equal(connection.send(Uint8Array.of(2)), false)
  rig.links.healPartitions()
  rig.run(1_000)
  t.same(rig.take(), ['b closed'])
})

t.test('a closed end says goodbye behind what it sent; a killed process closes, a machine without power does not', async t => {
  const { rig, connection } = await connected()
  connection.send(Uint8Array.of(1))
  connection.close('done')
  rig.run(100)
  t.same(rig.take(), ['a closed', 'b 1', 'b closed'].sort((left, right) => (left === 'a closed' ? -1 : right === 'a closed' ? 1 : 0)))

  const killed = await connected()
  killed.rig.b.kill('kill')
  killed.rig.run(100)
  t.same(killed.rig.take(), ['a closed'])

  const dark = await connected()
  dark.rig.b.kill('power loss', 'off')
  dark.connection.send(Uint8Array.of(1))
  dark.rig.run(5_000)
  t.same(dark.rig.take(), [], 'nobody says anything')
  await dark.rig.listen()
  dark.connection.send(Uint8Array.of(2))
  dark.rig.run(100)
  t.same(dark.rig.take(), ['a closed'], 'the machine that came back knows no such stream')
})

t.test('dials: refused without a listener, timed out without a machine or a way', async t => {
  const rig = new Rig()
  rig.b.boot()
  rig.dial()
  t.same(rig.take(), ['a closed'])
  rig.b.kill('power loss', 'off')
  rig.dial()
  t.same(rig.take(), [])
  rig.run(4_000)
  t.same(rig.take(), ['a closed'])
  const { rig: other } = await connected()
  other.links.cut('b', 'a')
  other.dial()
  other.run(4_000)
  t.same(other.take().filter(line => line.startsWith('a')), ['a closed'])
})

t.test('a slow reader shows in bufferedBytes, and drains', async t => {
  const { rig, connection } = await connected()
  rig.links.clog('a', 'b', rig.scheduler.now + 1_000)
  for (let i = 0; i < 4; i++) connection.send(new Uint8Array(40_000))
  t.ok(connection.bufferedBytes() > 0)
  rig.run(2_000)
  t.equal(connection.bufferedBytes(), 0)
  t.ok(rig.take().includes('a drained'))
})

t.test('a killed life gets nothing any more', async t => {
  const { rig } = await connected()
  rig.atB!.send(Uint8Array.of(5))
  rig.a.kill('kill')
  rig.a.boot()
  rig.run(1_000)
  t.same(rig.take().filter(line => line.startsWith('a')), [])
})
