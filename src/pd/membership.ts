import type { ServerError } from '../common/errors.js'
import type { Result } from '../common/result.js'
import { err, ok } from '../common/result.js'
import type { Member, Requests, Responses } from '../wire/messages.js'
import type { PdNode } from './pd-node.js'

/**
 * What a member without a history is told by one other member:
 *   fresh     we have none either
 *   founder   we have one, and began it knowing this very folder
 *   granted   the group awaits it, under the member id that comes with this
 *   refused   the group knows another folder under this name; `reason` says what the operator can do
 *   unsure    we have a history, and nobody leads here who could decide
 */
export type JoinVerdict = 'fresh' | 'founder' | 'granted' | 'refused' | 'unsure'
export type JoinAnswer = Responses['JoinMember']
export type JoinQuestion = Requests['JoinMember']

/** Ids of members that the group began with are 32-bit hashes of their names: these are above. */
const newMemberIdMin = 2 ** 32
const heardBackoffMs = 500

const quoted = (urls: readonly string[]): string => urls.map(url => url.replace(/^[a-z]+:\/\//, '')).join(',')

/** Takes a member out and lets another one in, and tells those without a history who they are. For members that have one. */
export class Membership {
  readonly #node: PdNode
  /** Tokens of the folders that this member began the group with, by name; older folders do not know any. */
  readonly #tokens: ReadonlyMap<string, number>
  readonly #own: { readonly name: string; readonly token: number }

  constructor(node: PdNode, own: { readonly name: string; readonly token: number }, tokens: ReadonlyMap<string, number>) {
    this.#node = node
    this.#own = own
    this.#tokens = tokens
  }

  #verdict(verdict: JoinVerdict, more: Partial<JoinAnswer> = {}): JoinAnswer {
    return { verdict, reason: '', ...this.#own, memberId: 0, members: [], founders: [], ...more }
  }

  join(asked: JoinQuestion, respond: (answer: Result<JoinAnswer, ServerError>) => void): void {
    const node = this.#node
    if (this.#tokens.get(asked.name) === asked.token) {
      respond(ok(this.#verdict('founder')))
      return
    }
    if (!node.isLeader || !node.hasLease) {
      respond(ok(this.#verdict('unsure')))
      return
    }
    const awaited = [...node.state.awaitedMembers.keys()].find(id => node.state.members.get(id)?.name === asked.name)
    const member = awaited === undefined ? undefined : node.state.members.get(awaited)
    if (member === undefined) {
      respond(ok(this.#refusal(asked.name)))
      return
    }
    const peerUrls = asked.peerUrls.length > 0 ? asked.peerUrls : member.peerUrls
    node.propose({ kind: 'claimMember', token: asked.token, member: { ...member, peerUrls, clientUrls: asked.clientUrls } }, result => {
      if (result === undefined) respond(ok(this.#verdict('unsure')))
      else if (!result.ok) respond(result)
      else if (result.value === 0) respond(ok(this.#refusal(asked.name)))
      else respond(ok(this.#verdict('granted', { memberId: member.memberId, members: this.#reachable(), founders: node.founderIds })))
    })
  }

  /** All that the newcomer may have to talk to, also before the group has let it in. */
  #reachable(): readonly Member[] {
    return this.#node.members().filter(member => !this.#node.state.retiredMembers.has(member.memberId))
  }

  #refusal(name: string): JoinAnswer {
    const members = this.#node.members()
    const pd = quoted(members.filter(member => member.name !== name).flatMap(member => member.clientUrls))
    const isKnown = members.some(member => member.name === name)
    const names = members.map(member => member.name).join(', ')
    return this.#verdict('refused', {
      reason: isKnown
        ? `the group of ${names} knows a member ${name}, whose history is not in this folder: what it had voted for is gone. `
          + `Replace it:  karst ctl member replace ${name} --pd ${pd}  and start this one again with an empty --data-dir.`
        : `the group of ${names} (--pd ${pd}) has no member ${name} and awaits none.`,
    })
  }

  /** The leader's part of `karst ctl member replace`. Repeating it while nobody has come yet gives the same id. */
  replace({ name, peerUrls }: Requests['ReplaceMember'], respond: (answer: Result<{ memberId: number }, ServerError>) => void): void {
    const node = this.#node
    const members = node.members().filter(member => !node.state.retiredMembers.has(member.memberId))
    const old = members.find(member => member.name === name)
      ?? [...node.state.awaitedMembers.keys()].map(id => node.state.members.get(id)).find(member => member?.name === name)
    const refuse = (reason: string): void => { respond(err({ kind: 'InvalidArgument', reason })) }
    if (old === undefined) return refuse(`PD has no member ${name}; it has ${members.map(member => member.name).join(', ')}`)
    if (node.state.awaitedMembers.get(old.memberId) === 0) return respond(ok({ memberId: old.memberId }))
    if (members.length === 1) {
      return refuse(`${name} is PD alone: nobody else could let a new one in`)
    }
    if (old.memberId === node.memberId) return refuse(`${name} leads PD and has all its history. Stop it first if it must go.`)
    if (node.isHeard(old.memberId)) {
      const reason = `${name} answers, or did a moment ago. Stop it first; what it had voted for is lost with it`
      return respond(err({ kind: 'ServerIsBusy', reason, backoffMs: heardBackoffMs }))
    }
    const memberId = newMemberIdMin + node.env.random.below(2 ** 20) * 2 ** 30 + node.env.random.below(2 ** 30)
    const member = { name, memberId, clientUrls: [], peerUrls: peerUrls.length > 0 ? peerUrls : old.peerUrls }
    node.propose({ kind: 'replaceMember', oldId: old.memberId, member }, result => {
      if (result === undefined) respond(err(node.notLeader()))
      else if (!result.ok) respond(result)
      else respond(ok({ memberId }))
    })
  }
}
