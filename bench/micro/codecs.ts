import { decodeBytes, encodeBytes } from '../../src/common/memcomparable.js'
import { compareBytes } from '../../src/common/bytes.js'
import { peerId, regionId, storeId } from '../../src/common/ids.js'
import { engineKeyOf, wireKeyOf, wireKeyOfText } from '../../src/rawkv/codec.js'
import { BatchWriter } from '../../src/engine/batch-writer.js'
import { Cf } from '../../src/engine/api.js'
import { RegionCache } from '../../src/client/region-cache.js'
import { ScrambledZipf, Dice } from '../zipf.js'
import { keyOf } from '../workloads.js'
import { sink, type MicroSuite } from './micro-case.js'

const nothingToClose = (): Promise<void> => Promise.resolve()

export const codecs: MicroSuite = {
  name: 'codec', about: 'keys and packed batches',
  cases: () => {
    const plain = Buffer.from(keyOf(42))
    const encoded = encodeBytes(plain)
    const engineKey = engineKeyOf(wireKeyOfText(0, keyOf(42)))
    const other = engineKeyOf(wireKeyOfText(0, keyOf(43)))
    const value = Buffer.alloc(256, 7)
    return Promise.resolve({
      close: nothingToClose,
      cases: [
        { name: 'memcomparable encode, 20 bytes', operations: 1, run: () => { sink.value = encodeBytes(plain) } },
        { name: 'memcomparable decode, 20 bytes', operations: 1, run: () => { sink.value = decodeBytes(encoded) } },
        { name: 'text to engine key', operations: 1, run: () => { sink.value = engineKeyOf(wireKeyOfText(0, 'user0000000000000042')) } },
        { name: 'engine key to wire key', operations: 1, run: () => { sink.value = wireKeyOf(engineKey) } },
        { name: 'compare two engine keys', operations: 1, run: () => { sink.value = compareBytes(engineKey, other) } },
        { name: 'packed batch, 64 puts of 256 bytes', operations: 64, run: () => {
          const batch = new BatchWriter()
          for (let i = 0; i < 64; i++) batch.put(Cf.Default, engineKey, value)
          sink.value = batch.finish()
        } },
      ],
    })
  },
}

const boundary = (at: number): Uint8Array => engineKeyOf(wireKeyOfText(0, keyOf(at)))

function filledCache(regions: number): RegionCache {
  const cache = new RegionCache()
  for (let at = 0; at < regions; at++) {
    const peers = [1, 2, 3].map(store => ({ peerId: peerId(at * 10 + store), storeId: storeId(store), role: 'voter' as const }))
    cache.insert({
      regionId: regionId(at + 1), startKey: at === 0 ? new Uint8Array(0) : boundary(at * 100),
      endKey: at === regions - 1 ? new Uint8Array(0) : boundary(at * 100 + 100), epoch: { confVer: 1, version: 1 }, peers,
    }, peers[0])
  }
  return cache
}

export const regionCache: MicroSuite = {
  name: 'region-cache', about: 'where a key lives, from the client\'s memory',
  cases: () => Promise.resolve({
    close: nothingToClose,
    cases: [1, 100, 10_000].map(regions => {
      const cache = filledCache(regions)
      const keys = Array.from({ length: 1_024 }, (_, at) => boundary((at * 7_919) % (regions * 100)))
      let next = 0
      return { name: `find among ${regions.toLocaleString('en')} regions`, operations: 1, run: () => { sink.value = cache.find(keys[next++ & 1_023]!) } }
    }),
  }),
}

export const load: MicroSuite = {
  name: 'load', about: 'what the load generator itself costs',
  cases: () => {
    const zipf = new ScrambledZipf(100_000, 0.99, new Dice(1))
    return Promise.resolve({ close: nothingToClose, cases: [
      { name: 'draw a zipf key', operations: 1, run: () => { sink.value = keyOf(zipf.next()) } },
    ] })
  },
}
