import t from 'tap'
import { copyBytes } from '../../src/common/bytes.js'
import { FrameDecoder } from '../../src/wire/codec.js'
import { FrameReader, frameErrorKinds } from '../../src/wire/frame.js'
import { FrameWriter } from '../../src/wire/frame-writer.js'
import { storeMetaLayout, storesResponseLayout } from '../../src/wire/generated/layouts.js'
import { FrameKind } from '../../src/wire/messages.js'
import { Target, fuzz, validFrames } from './fuzz.js'

const count = 1_000_000
/** For inputs of some KB; work without bounds would take far longer. */
const inputMsMax = 100

const given = process.argv.find(text => text.startsWith('--seed='))
const seed = given === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(given.slice('--seed='.length))

t.test('the frames to start from are all good', async t => {
  const target = new Target()
  const frames = validFrames()
  for (const frame of frames) target.read(frame)
  // The answer to an unknown kind is for nobody's decoder.
  t.same(target.outcome.damaged, { UnknownKind: 1 })
  t.equal(target.outcome.good, frames.length - 1)
})

t.test(`${count} mutated frames: read or refused in a typed way, in bounded time (--seed=${seed} repeats)`, async t => {
  const { frames, good, damaged, slowestMs } = fuzz({ seed, count })
  t.comment(`seed ${seed}: ${frames} frames, ${good} good, damaged ${JSON.stringify(damaged)}, slowest ${slowestMs.toFixed(1)} ms`)
  t.ok(slowestMs < inputMsMax, `slowest input ${slowestMs} ms`)
  t.ok(good > count / 20, 'some get through: the mutations are not too coarse')
  t.ok((damaged['BadBody'] ?? 0) > count / 5, 'most get as far as the body')
  for (const kind of frameErrorKinds) t.ok((damaged[kind] ?? 0) > 0, `${kind} was met`)
})

t.test('a body whose references all lead to one large table costs no more than its size', async t => {
  const stores = 200_000
  const w = new FrameWriter()
  w.beginFrame(FrameKind.GetStores | 0x80, 1)
  const root = w.table(storesResponseLayout)
  w.absent(root, 4)
  const list = w.offsetVector(root + 8, stores)
  const store = w.table(storeMetaLayout)
  for (const slot of [20, 24, 32]) w.string(store + slot, 'x'.repeat(100_000))
  w.offsetVector(store + 28, 0)
  for (let i = 0; i < stores; i++) w.link(list + i * 4, store)
  t.equal(w.endFrame(root), undefined)
  const reader = new FrameReader()
  reader.reset(copyBytes(w.view()))
  t.equal(reader.next(), 'frame')
  const startedAt = performance.now()
  const read = new FrameDecoder().decodeResponse('GetStores', reader)
  t.ok(performance.now() - startedAt < 2_000)
  t.match(read, { ok: false, error: { kind: 'BadBody' } })
})
