import type { Env } from '../common/env.js'
import { ok } from '../common/result.js'
import { memberIdOf } from '../pd/config.js'
import type { JoinAnswer } from '../pd/membership.js'
import type { RpcChannel, RpcHandler } from '../transport/api.js'
import type { PdIdentity, PdIdentityKeeper } from './pd-identity.js'
import { StartupError } from './startup-error.js'

export interface BirthOptions {
  readonly env: Env
  readonly name: string
  readonly keeper: PdIdentityKeeper
  /** Names of all members; this one alone: a cluster that is begun at once. */
  readonly members: readonly string[]
  /** The others, by any address of theirs. */
  readonly others: readonly string[]
  /** There is a group already: this member waits to be let in, and begins none. */
  readonly isJoining: boolean
  readonly clientUrls: () => readonly string[]
  readonly peerUrls: readonly string[]
  readonly openChannel: (address: string) => RpcChannel
  readonly isStopped: () => boolean
}

const askAgainMs = 200
const answerMsMax = 1_000
const logAgainMs = 10_000

/**
 * How a folder without a history becomes a member of PD, or does not. The danger is a member that lost its folder: it has
 * promised votes, ids and timestamps that it does not know of any more. So a fresh folder draws a token, which is
 * durable before anybody hears it, and takes no part until the others have answered:
 *
 *   every other one is fresh too, or began the group knowing this token    begin it, and keep all tokens that were heard
 *   the group's leader awaits a member of this name                        be that one, under the new id
 *   the group's leader knows another folder under this name                end, and say how it is replaced
 *   anything else, also no answer                                          wait
 *
 * Why nobody votes twice under one id: a member that began the group had heard every other one, and keeps their tokens. A
 * vote counts for a leader only, so voter and leader both have begun, and the leader keeps the voter's token. If the voter's
 * folder is lost, its next one has another token, needs the leader's answer like everybody's, and does not get it.
 * If all folders but one are lost, the one that is left refuses all. If all are lost, nobody remembers anything:
 * that is a new cluster, which stores refuse by its id. Nobody goes on without hearing everyone, so a group
 * is begun with all members up; members that are replaced need the leader alone.
 */
export class MemberBirth {
  readonly #options: BirthOptions
  readonly #heard = new Map<string, number>()
  #token = 0
  #saidAtMs = Number.NEGATIVE_INFINITY

  constructor(options: BirthOptions) { this.#options = options }

  /** What the others hear while this one has no history. Who asks was heard by that. */
  readonly answer: RpcHandler<'JoinMember'> = ({ name, token }, respond) => {
    if (this.#token !== 0) this.#heard.set(name, token)
    respond(ok({
      verdict: this.#token === 0 ? 'unsure' : 'fresh', reason: '', name: this.#options.name, token: this.#token, memberId: 0,
      members: [], founders: [],
    }))
  }

  /** @throws StartupError */
  async run(draft: PdIdentity | undefined): Promise<PdIdentity> {
    const { env, name, members, keeper, others, isJoining } = this.#options
    const token = draft?.token ?? 1 + env.random.below(2 ** 26) * 2 ** 26 + env.random.below(2 ** 26)
    const fresh: PdIdentity = { format: 1, name, memberId: 0, members, token }
    if (others.length === 0 && !isJoining) return await this.#born({ ...fresh, memberId: memberIdOf(name), tokens: { [name]: token } })
    if (draft === undefined) await keeper.save(fresh)
    this.#token = token
    const channels = others.map(address => this.#options.openChannel(address))
    try {
      for (;;) {
        const identity = this.#decide(fresh, await this.#ask(channels))
        if (identity !== undefined) return await this.#born(identity)
        if (this.#options.isStopped()) throw new StartupError('stopped', 'stopped while it waited for the other members of PD')
        await new Promise<void>(resolve => { env.setTimer(askAgainMs, resolve) })
      }
    } finally {
      for (const channel of channels) channel.close()
    }
  }

  async #born(identity: PdIdentity): Promise<PdIdentity> {
    await this.#options.keeper.save(identity)
    this.#options.env.log('info', 'pd.member-id', { member: identity.name, id: identity.memberId })
    return identity
  }

  async #ask(channels: readonly RpcChannel[]): Promise<readonly (JoinAnswer | undefined)[]> {
    const { name, peerUrls, clientUrls } = this.#options
    const question = { name, token: this.#token, peerUrls, clientUrls: clientUrls() }
    return await Promise.all(channels.map(async channel => {
      const answer = await channel.call('JoinMember', question, { timeoutMs: answerMsMax })
      return answer.answered && answer.result.ok ? answer.result.value : undefined
    }))
  }

  #decide(fresh: PdIdentity, answers: readonly (JoinAnswer | undefined)[]): PdIdentity | undefined {
    const { isJoining, members, name } = this.#options
    for (const answer of answers) {
      if (answer?.verdict === 'granted') {
        return {
          ...fresh, memberId: answer.memberId, founderIds: answer.founders,
          peers: answer.members.map(({ name: other, memberId, peerUrls }) => ({ name: other, memberId, peerUrls })),
        }
      }
      if (answer?.verdict === 'refused') throw new StartupError('memberRefused', answer.reason)
    }
    for (const answer of answers) if (answer !== undefined && answer.token !== 0) this.#heard.set(answer.name, answer.token)
    const isAgreed = answers.every(answer => answer?.verdict === 'fresh' || answer?.verdict === 'founder')
    const isEverybodyHeard = members.every(other => other === name || this.#heard.has(other))
    if (!isJoining && isAgreed && isEverybodyHeard) {
      return { ...fresh, memberId: memberIdOf(name), tokens: { ...Object.fromEntries(this.#heard), [name]: this.#token } }
    }
    this.#sayWhatIsMissing(answers)
    return undefined
  }

  #sayWhatIsMissing(answers: readonly (JoinAnswer | undefined)[]): void {
    const { env, others, isJoining } = this.#options
    const nowMs = env.clock.monotonicMs()
    if (nowMs - this.#saidAtMs < logAgainMs) return
    // Members are started one after another: the first look says nothing.
    const isFirst = this.#saidAtMs === Number.NEGATIVE_INFINITY
    this.#saidAtMs = isFirst ? nowMs - logAgainMs + answerMsMax : nowMs
    if (isFirst) return
    const silent = others.filter((_address, at) => answers[at] === undefined)
    const hint = silent.length > 0 ? 'a member with an empty folder takes no part before it has heard of every other one'
      : isJoining ? 'it was not let in yet: `karst ctl member replace NAME`' : 'the group has a history, and no leader now who could decide'
    env.log('warn', 'pd.waits-for-members', { silent: silent.join(','), hint })
  }
}
