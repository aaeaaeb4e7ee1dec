import t from 'tap'
import { logIndex, term } from '../../src/common/ids.js'
import type { ServerError } from '../../src/common/errors.js'
import { PendingProposals } from '../../src/store/proposals.js'

const stale: ServerError = { kind: 'StaleCommand' }

/** What each pending write was told, by name. */
function watched(): { pending: PendingProposals; told: Record<string, string>; add: (name: string, index: number, at: number) => void
  apply: (index: number, at: number) => void; giveUp: () => void } {
  const pending = new PendingProposals()
  const told: Record<string, string> = {}
  const run = (answers: (() => void)[]): void => { for (const answer of answers) answer() }
  return {
    pending, told,
    add: (name, index, at) => {
      const done = (result: { ok: boolean; error?: ServerError }): void => { told[name] = result.ok ? 'ok' : result.error!.kind }
      pending.add({ index: logIndex(index), term: term(at), proposedAtMs: index, admin: undefined,
        writes: [{ records: new Uint8Array(0), version: 1, done: result => { done(result as { ok: boolean; error?: ServerError }) } }] })
    },
    apply: (index, at) => {
      const answers: (() => void)[] = []
      pending.applied(logIndex(index), term(at), { kind: 'data', results: undefined }, answers, stale)
      run(answers)
    },
    giveUp: () => {
      const answers: (() => void)[] = []
      pending.giveUp('gone', answers)
      run(answers)
    },
  }
}

t.test('a write is acknowledged when the entry at its index is of its term', t => {
  const { told, add, apply } = watched()
  add('a', 8, 5)
  apply(8, 5)
  t.equal(told['a'], 'ok')
  t.end()
})

t.test('another term at its index means that it will never be applied', t => {
  const { told, add, apply } = watched()
  add('a', 8, 5)
  apply(8, 6)
  t.equal(told['a'], 'StaleCommand')
  t.end()
})

t.test('deposed and elected again, a leader answers what it proposed in both terms', t => {
  const { told, add, apply, pending } = watched()
  add('old', 10, 5)
  add('new', 8, 7)
  apply(8, 7)
  t.equal(told['new'], 'ok', 'the newer one, though the older index was proposed first')
  t.equal(told['old'], undefined, 'nobody knows yet')
  apply(9, 7)
  apply(10, 5)
  t.equal(told['old'], 'ok', 'the old entry came back from another log')
  t.ok(pending.isEmpty)
  t.end()
})

t.test('what nobody will ever tell is undetermined', t => {
  const { told, add, giveUp, pending } = watched()
  add('a', 8, 5)
  t.equal(pending.requests, 1)
  giveUp()
  t.equal(told['a'], 'Undetermined')
  t.equal(pending.requests, 0)
  t.end()
})
