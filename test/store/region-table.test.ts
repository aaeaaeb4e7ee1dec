// The table of ranges: equal to a sorted list, and no slower per region when there are many.
import t from 'tap'
import fc from 'fast-check'
import { compareBytes } from '../../src/common/bytes.js'
import { regionId } from '../../src/common/ids.js'
import { regionsOverlap } from '../../src/common/region.js'
import type { Region } from '../../src/common/region.js'
import { RegionTable } from '../../src/store/region-table.js'

const keyOf = (number: number): Uint8Array => Uint8Array.of(number >>> 16, number >>> 8, number)
const range = (id: number, start: number, end: number): Region =>
  ({ regionId: regionId(id), startKey: start === 0 ? new Uint8Array(0) : keyOf(start), endKey: end === 0 ? new Uint8Array(0) : keyOf(end),
    epoch: { confVer: 1, version: 1 }, peers: [] })
const idsOf = (regions: readonly Region[]): number[] => regions.map(region => region.regionId)

t.test('whatever comes and goes, it answers as a sorted list would', async t => {
  const changes = fc.array(fc.record({ id: fc.integer({ min: 1, max: 40 }), start: fc.nat(60), width: fc.integer({ min: 1, max: 5 }), goes: fc.boolean() }),
    { maxLength: 120 })
  fc.assert(fc.property(changes, fc.nat(66), fc.nat(20), fc.nat(5), (all, start, width, count) => {
    const table = new RegionTable()
    const list = new Map<number, Region>()
    for (const { id, start: from, width: wide, goes } of all) {
      const region = range(id, from, from + wide)
      const isFree = [...list.values()].every(other => other.regionId === id || !regionsOverlap(other, region))
      if (goes || !isFree) {
        table.delete(region.regionId)
        list.delete(id)
      } else {
        table.set(region)
        list.set(id, region)
      }
    }
    const sorted = [...list.values()].sort((left, right) => compareBytes(left.startKey, right.startKey))
    const asked = range(99, start, start + width)
    const expected = sorted.filter(region => regionsOverlap(region, asked))
    const left = sorted.slice(0, sorted.findIndex(one => one === sorted.at(-1))).reverse()
    const touching = left.filter((one, at) => left.slice(0, at + 1).every((other, nth) =>
      compareBytes(other.endKey, (nth === 0 ? sorted.at(-1)! : left[nth - 1]!).startKey) === 0) && one !== undefined)
    if (table.size !== list.size || (width > 0 && `${idsOf(table.overlapping(asked.startKey, asked.endKey))}` !== `${idsOf(expected)}`)) return false
    if (sorted.length > 0 && `${idsOf(table.leftNeighbours(sorted.at(-1)!, count))}` !== `${idsOf(touching.slice(0, count))}`) return false
    return table.at(keyOf(start + 1))?.regionId === sorted.find(one => compareBytes(one.startKey, keyOf(start + 1)) <= 0
      && (one.endKey.length === 0 || compareBytes(keyOf(start + 1), one.endKey) < 0))?.regionId
  }), { numRuns: 1_000 })
  t.pass()
})

t.test('many regions come, change and go in time that grows with their number, in any order', async t => {
  const cpuMsOf = (count: number): number => {
    const order = Array.from({ length: count }, (_, at) => (at * 7_919) % count)
    const startedAt = process.cpuUsage()
    const table = new RegionTable()
    for (const at of order) table.set(range(at + 1, at, at + 1 === count ? 0 : at + 1))
    for (const at of order) table.set(range(at + 1, at, at + 1 === count ? 0 : at + 1))
    for (const at of order) table.delete(regionId(at + 1))
    t.equal(table.size, 0)
    const { user, system } = process.cpuUsage(startedAt)
    return (user + system) / 1_000
  }
  cpuMsOf(5_000)
  const least = (count: number): number => Math.min(...[1, 2, 3].map(() => cpuMsOf(count)))
  const [few, many] = [least(10_000), least(40_000)]
  // Four times as many cost four times as much and a little; in one array it was fifty.
  t.ok(many < few * 9, `${few.toFixed(0)} ms CPU for 10,000, ${many.toFixed(0)} ms for 40,000`)
})
