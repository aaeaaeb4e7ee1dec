/** Annotated frames for docs/PROTOCOL.md: encoded by src/wire, taken apart by its layouts. */
import { emptyBytes, utf8 } from '../../src/common/bytes.js'
import { peerId, regionId, storeId } from '../../src/common/ids.js'
import type { ServerError } from '../../src/common/errors.js'
import type { PeerRef, Region } from '../../src/common/region.js'
import { engineKeyOf, wireKey } from '../../src/rawkv/codec.js'
import { encodeHello, encodeRequest, encodeResponse } from '../../src/wire/codec.js'
import { FrameWriter } from '../../src/wire/frame-writer.js'
import {
  emptyResponseLayout, getMembersResponseLayout, helloLayout, keyRequestLayout, rawGetRequestLayout, rawGetResponseLayout,
  rawPutRequestLayout, routeResponseLayout,
} from '../../src/wire/generated/layouts.js'
import type { Layout } from '../../src/wire/layout.js'
import type { RequestContext } from '../../src/wire/messages.js'
import { annotate } from './annotate.js'

const context: RequestContext =
  { regionId: regionId(2), epoch: { confVer: 1, version: 1 }, peerId: peerId(3), timeoutMs: 5_000 }
const key = wireKey(0, utf8('hello'))
const peerOnStoreOne: PeerRef = { peerId: peerId(3), storeId: storeId(1), role: 'voter' }
const region: Region = {
  regionId: regionId(2), startKey: emptyBytes, endKey: engineKeyOf(wireKey(0, utf8('m'))), epoch: { confVer: 1, version: 1 },
  peers: [peerOnStoreOne, { ...peerOnStoreOne, peerId: peerId(6), storeId: storeId(4) }],
}
const notLeader: ServerError = { kind: 'NotLeader', regionId: regionId(2), leader: peerOnStoreOne }

interface Example {
  readonly title: string
  readonly layout: Layout
  readonly write: (w: FrameWriter) => void
}

const list: readonly Example[] = [
  { title: 'Hello of a client that does not know the cluster yet', layout: helloLayout,
    write: w => encodeHello({ protocolVersion: 1, clusterId: 0n, role: 'client', nodeId: 0 }, w) },
  { title: 'GetMembers, response of PD', layout: getMembersResponseLayout,
    write: w => encodeResponse('GetMembers', 1, { ok: true, value: { clusterId: 0xfedc_ba98_7654_3210n, members: [
      { name: 'pd-0', memberId: 9, clientUrls: ['http://127.0.0.1:2379'], peerUrls: [], isLeader: true }] } }, w) },
  { title: 'GetRegion, request: where is the engine key of `hello`?', layout: keyRequestLayout,
    write: w => encodeRequest('GetRegion', 2, { key: engineKeyOf(key) }, w) },
  { title: 'GetRegion, response', layout: routeResponseLayout,
    write: w => encodeResponse('GetRegion', 2, { ok: true, value: {
      route: { region, leader: peerOnStoreOne }, heardStoreId: peerOnStoreOne.storeId, heardMsAgo: 0 } }, w) },
  { title: 'RawPut, request', layout: rawPutRequestLayout,
    write: w => encodeRequest('RawPut', 3, { context, key, value: utf8('world'), ttlSeconds: 0 }, w) },
  { title: 'RawPut, response: done', layout: emptyResponseLayout,
    write: w => encodeResponse('RawPut', 3, { ok: true, value: {} }, w) },
  { title: 'RawPut, response: NotLeader', layout: emptyResponseLayout,
    write: w => encodeResponse('RawPut', 3, { ok: false, error: notLeader }, w) },
  { title: 'RawGet, request', layout: rawGetRequestLayout,
    write: w => encodeRequest('RawGet', 4, { context, key }, w) },
  { title: 'RawGet, response: `world`', layout: rawGetResponseLayout,
    write: w => encodeResponse('RawGet', 4, { ok: true, value: { value: utf8('world') } }, w) },
  { title: 'RawGet, response: no such key', layout: rawGetResponseLayout,
    write: w => encodeResponse('RawGet', 4, { ok: true, value: { value: undefined } }, w) },
]

export function examples(): string {
  return list.map(({ title, layout, write }) => {
    const w = new FrameWriter()
    write(w)
    return `**${title}**\n\n\`\`\`\n${annotate(w.view().slice(), layout)}\n\`\`\``
  }).join('\n\n')
}
