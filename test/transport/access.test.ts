/** Who may ask for what: strangers, stores in each other's name, and raft that no raft would write. */
import t from 'tap'
import { copyBytes, emptyBytes } from '../../src/common/bytes.js'
import { logIndex, peerId, storeId, term } from '../../src/common/ids.js'
import { err } from '../../src/common/result.js'
import { MessageType } from '../../src/raft/types.js'
import type { RpcHandlers } from '../../src/transport/api.js'
import { listenRpc } from '../../src/transport/rpc-server.js'
import { FrameDecoder, rpcNameOf } from '../../src/wire/codec.js'
import { FrameReader } from '../../src/wire/frame.js'
import type { Hello, RaftEnvelope, Requests, RpcName, StoreMeta } from '../../src/wire/messages.js'
import { appendEnvelope, envelope, envelopes, peer, region, requests } from '../wire/samples.js'
import { FakeWorld } from './fake.js'
import { Greeting, describe, join, raftFrame, requestFrame } from './frames.js'
import { hello, secret } from './real.js'

const names = Object.keys(requests) as RpcName[]
const peersOnly: readonly RpcName[] = [
  'SnapshotBegin', 'SnapshotChunk', 'SnapshotEnd', 'Bootstrap', 'AllocId', 'StoreHeartbeat', 'RegionHeartbeat', 'AskSplit', 'ReportSplit',
  'JoinMember',
]

/** Every handler here answers StaleCommand: it was asked. */
function answers(message: Uint8Array): string[] {
  const reader = new FrameReader()
  reader.reset(copyBytes(message))
  const words: string[] = []
  while (reader.next() === 'frame') {
    const name = rpcNameOf(reader.kind)
    const answer = name && new FrameDecoder().decodeResponse(name, reader)
    if (answer === undefined) words.push(...describe(reader.bytes.subarray(0, reader.bodyEnd)).slice(-1).map(text => text.split(':')[0]!))
    else if (!answer.ok || answer.value.ok) words.push('damaged')
    else words.push(answer.value.error.kind === 'StaleCommand' ? 'ok' : answer.value.error.kind)
  }
  return words
}

class Door {
  readonly world = new FakeWorld()
  readonly served: RpcName[] = []
  readonly raft: RaftEnvelope[] = []
  readonly #handlers = Object.fromEntries(names.map(name => [name, (_request: unknown, respond: (result: unknown) => void) => {
    this.served.push(name)
    respond(err({ kind: 'StaleCommand' }))
  }])) as RpcHandlers

  constructor(readonly role: Hello['role'] = 'store') {}

  async listen(): Promise<this> {
    await listenRpc({
      env: this.world.env('server'), address: 'here:1', secret, hello: () => hello(this.role, 1, 7n), handlers: this.#handlers,
      onRaft: one => { this.raft.push(one) },
    })
    return this
  }

  /** @returns kinds of errors, `ok`, or `closed` */
  say(as: Hello, ...frames: Uint8Array[]): string[] {
    const heard: string[] = []
    const greeting = new Greeting(as)
    this.world.env('raw').network.dial('here:1', {
      onMessage: bytes => {
        heard.push(...answers(bytes))
        const owed = greeting.answerTo(bytes)
        if (owed !== undefined) end.send(join(owed, ...frames))
      }, onClose: () => { heard.push('closed') },
    })
    const end = this.world.wires.at(-1)!.dialler
    this.world.run(5)
    end.send(greeting.frame)
    this.world.run(5)
    return heard
  }

  ask<N extends RpcName>(as: Hello, name: N, request: Requests[N]): string {
    return this.say(as, requestFrame(name, 1, request)).at(-1)!
  }
}

const asStore = (id: number): Hello => hello('store', id, 7n)
const meta: StoreMeta = {
  storeId: storeId(3), address: 'a:1', statusAddress: '', labels: {}, version: '', state: 'up', startedAtWallMs: 0,
}

t.test('a client is served what clients ask for, and nothing of what stores say to stores and PD', async t => {
  const door = await new Door().listen()
  for (const name of names) {
    const heard = door.ask(hello('client'), name, requests[name][0] as Requests[typeof name])
    const isDenied = peersOnly.includes(name) || name === 'PutStore'
    t.equal(heard, isDenied ? 'PermissionDenied' : 'ok', name)
  }
  t.same(door.served, names.filter(name => !peersOnly.includes(name) && name !== 'PutStore'))
  const wish = { store: { ...meta, state: 'offline' as const }, force: false, incarnation: 0, previous: [] }
  t.equal(door.ask(hello('client'), 'PutStore', wish), 'ok', 'what an operator decides')
  t.equal(door.ask(hello('client'), 'PutStore', { store: meta, force: true, incarnation: 0, previous: [] }), 'ok', 'an operator takes a store back')
  t.equal(door.ask(hello('pd', 5), 'AllocId', { count: 1 }), 'PermissionDenied', 'PD is no store')
  t.equal(door.ask(hello('pd', 0), 'JoinMember', requests.JoinMember[0]!), 'ok', 'a member that has no id yet')
})

t.test('a store speaks for itself alone', async t => {
  const door = await new Door().listen()
  const stats = {
    storeId: storeId(3), capacityBytes: 0, availableBytes: 0, usedBytes: 0, regionCount: 0, leaderCount: 0, isBusy: false,
    snapshotsReceiving: 0, snapshotsSending: 0, isDiskFull: false, reserveBytes: 0, wallMs: 0, regionHeartbeatMs: 0,
  }
  const leader = { ...peer, storeId: storeId(3) }
  const beat = { region, leader, term: 1, downPeers: [], pendingPeers: [], approximateBytes: 0, approximateKeys: 0, pendingProgress: 0 }
  const snapshotOfThree = { ...envelopes.find(one => one.message.snapshot)!, from: { ...peer, storeId: storeId(3) } }
  const begin = { ...requests.SnapshotBegin[0]!, snapshotId: '3-1-1-1', envelope: snapshotOfThree }
  const own: { [N in RpcName]?: Requests[N] } = {
    StoreHeartbeat: { stats, incarnation: 0 }, PutStore: { store: meta, force: false, incarnation: 0, previous: [] },
    Bootstrap: { store: meta, region }, RegionHeartbeat: { beats: [beat, beat] },
    SnapshotBegin: begin, SnapshotChunk: { snapshotId: '3-1-1-1', sequence: 0, rows: emptyBytes, crc32c: 0 },
    SnapshotEnd: { snapshotId: '3-1-1-1', chunks: 0, crc32c: 0 },
  }
  for (const name of Object.keys(own) as RpcName[]) {
    t.equal(door.ask(asStore(3), name, own[name] as never), 'ok', name)
    t.equal(door.ask(asStore(4), name, own[name] as never), 'PermissionDenied', `${name} in the name of another`)
  }
  t.equal(door.ask(asStore(4), 'SnapshotChunk', { snapshotId: '44-1-1-1', sequence: 0, rows: emptyBytes, crc32c: 0 }), 'PermissionDenied')
  for (const name of ['StoreHeartbeat', 'RegionHeartbeat', 'SnapshotBegin', 'AskSplit', 'ReportSplit'] as const) {
    t.equal(door.ask(asStore(0), name, (own[name] ?? requests[name][0]) as never), 'PermissionDenied', `${name} of a store without an id`)
  }
  for (const name of ['PutStore', 'Bootstrap', 'AllocId', 'IsBootstrapped', 'GetMembers'] as const) {
    t.equal(door.ask(asStore(0), name, (own[name] ?? requests[name][0]) as never), 'ok', `${name} of a store that joins`)
  }
})

/** Our writer writes what it is told. */
const raft = (...list: RaftEnvelope[]): Uint8Array => raftFrame(list)

t.test('raft comes from the node that it names, and from nodes of the same role', async t => {
  const store = await new Door().listen()
  t.same(store.say(asStore(1), raft(envelope)), ['Hello'])
  t.equal(store.raft.length, 1)
  for (const as of [hello('client'), hello('client', 1), asStore(2), asStore(0), hello('pd', 1)]) {
    t.same(store.say(as, raft(envelope)), ['Hello', 'ProtocolError', 'closed'], `${as.role} ${as.nodeId}`)
  }
  t.equal(store.raft.length, 1)
  const pd = await new Door('pd').listen()
  t.same(pd.say(asStore(1), raft(envelope)), ['Hello', 'ProtocolError', 'closed'], 'a store is no member of PD')
  t.same(pd.say(hello('pd', 1), raft(envelope)), ['Hello'])
})

t.test('messages that stay inside a node, from outside', async t => {
  const mayCome: Record<'store' | 'pd', readonly number[]> = {
    store: [3, 4, 5, 6, 8, 9, 14, 17, 18], pd: [2, 3, 4, 5, 6, 7, 8, 9, 14, 17, 18],
  }
  for (const role of ['store', 'pd'] as const) {
    const door = await new Door(role).listen()
    for (const [name, type] of Object.entries(MessageType)) {
      const { snapshot } = envelopes.find(one => one.message.snapshot)!.message
      const message = {
        ...envelope.message, type, term: term(type === MessageType.Propose ? 0 : 7), ...(type === MessageType.Snapshot && { snapshot }),
      }
      const heard = door.say(hello(role, 1), raft({ ...envelope, message }))
      t.same(heard, mayCome[role].includes(type) ? ['Hello'] : ['Hello', 'ProtocolError', 'closed'], `${name} to ${role}`)
    }
    t.same(door.raft.map(one => one.message.type), mayCome[role])
  }
})

t.test('numbers, entries and members that no raft would write', async t => {
  const door = await new Door('pd').listen()
  const { message } = envelope
  const withSnapshot = envelopes.find(one => one.message.snapshot)!
  const { meta: good } = withSnapshot.message.snapshot!
  const three = appendEnvelope(3, 4)
  const entries = three.message.entries
  const inSnapshot = (change: object): RaftEnvelope => ({
    ...withSnapshot, message: { ...withSnapshot.message, snapshot: { data: emptyBytes, meta: { ...good, ...change } } },
  })
  const members = (change: object): RaftEnvelope => inSnapshot({ confState: { ...good.confState, ...change } })
  const bad: Record<string, RaftEnvelope> = {
    'from nobody': { ...envelope, from: { ...peer, peerId: peerId(0) }, message: { ...message, from: peerId(0) } },
    'the thread that writes the log': { ...envelope, message: { ...message, from: peerId(Number.MAX_SAFE_INTEGER) } },
    'another sender inside': { ...envelope, message: { ...message, from: peerId(102) } },
    'another receiver inside': { ...envelope, message: { ...message, to: peerId(10) } },
    'no term': { ...envelope, message: { ...message, term: term(0) } },
    'a last term': { ...envelope, message: { ...message, term: term(Number.MAX_SAFE_INTEGER) } },
    'a last index': { ...envelope, message: { ...message, index: logIndex(Number.MAX_SAFE_INTEGER) } },
    'a last commit': { ...envelope, message: { ...message, commit: logIndex(Number.MAX_SAFE_INTEGER) } },
    'a long context': { ...envelope, message: { ...message, context: new Uint8Array(2_000) } },
    'a long boundary': { ...envelope, startKey: new Uint8Array(20_000) },
    'entries of a vote': { ...three, message: { ...three.message, type: MessageType.Vote } },
    'a gap': { ...three, message: { ...three.message, entries: [entries[0]!, entries[2]!] } },
    'not behind index': { ...three, message: { ...three.message, index: logIndex(5) } },
    'terms go back': { ...three, message: { ...three.message, entries: [entries[0]!, { ...entries[1]!, term: term(6) }] } },
    'a term of the future': { ...three, message: { ...three.message, entries: [{ ...entries[0]!, term: term(8) }] } },
    'a snapshot in an append': { ...withSnapshot, message: { ...withSnapshot.message, type: MessageType.Append } },
    'no snapshot': { ...envelope, message: { ...message, type: MessageType.Snapshot } },
    'a snapshot of nothing': inSnapshot({ index: logIndex(0) }),
    'a snapshot of the future': inSnapshot({ term: term(8) }),
    'nobody votes': members({ voters: [] }),
    'two voters of one name': members({ voters: [peerId(1), peerId(1)] }),
    'a voter that learns': members({ learners: [peerId(1)] }),
    'one who stays will learn': members({ learnersNext: [peerId(7)] }),
    'leaves nothing by itself': members({ votersOutgoing: [], learnersNext: [], autoLeave: true }),
  }
  for (const [what, one] of Object.entries(bad)) {
    t.same(door.say(hello('pd', 1), raft(one)), ['Hello', 'ProtocolError', 'closed'], what)
  }
  t.same(door.raft, [])
  t.same(door.say(hello('pd', 1), raft(three, withSnapshot, { ...envelope, isTombstone: true })), ['Hello'])
  t.equal(door.raft.length, 3)
})
