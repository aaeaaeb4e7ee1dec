import type { Env, LogFields } from '../common/env.js'
import type { FrameError } from '../wire/frame.js'
import type { Hello, RaftEnvelope } from '../wire/messages.js'
import type { AnswerRoom } from './answer-room.js'
import type { RpcHandlers } from './api.js'
import type { Counters } from './counters.js'
import type { ClusterSecret } from './handshake.js'
import type { Held } from './inbox.js'
import type { TurnTaker, Turns } from './turns.js'

/** What the connections of one server share. */
export interface ServerParts<C extends TurnTaker> {
  readonly env: Env
  readonly hello: () => Hello
  readonly secret: ClusterSecret
  readonly handlers: RpcHandlers
  readonly onRaft: ((envelope: RaftEnvelope) => void) | undefined
  readonly counters: Counters
  readonly turns: Turns
  readonly room: AnswerRoom
  readonly held: Held
  readonly warn: (event: string, fields: LogFields) => void
  /** It is to be looked after this connection once a second. */
  readonly watch: () => void
  /** Something was written; flush() is due at the end of the turn. */
  readonly onDirty: (connection: C) => void
  readonly onClosed: (connection: C) => void
}

export const damageCounter = (kind: FrameError['kind']): string => `transport_damaged_frames_total{kind="${kind}"}`
