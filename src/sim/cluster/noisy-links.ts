import type { StoreId } from '../../common/ids.js'
import type { RaftLinks } from '../../transport/api.js'
import type { RaftEnvelope } from '../../wire/messages.js'
import type { SimEnv } from '../sim-env.js'
import type { RaftNoise } from './plan.js'

/** Raft links that lose, repeat and delay single messages. Everything that leaves is shown to `tap` first. */
export class NoisyLinks implements RaftLinks {
  isCalm = false
  readonly #env: SimEnv
  readonly #noise: RaftNoise

  constructor(env: SimEnv, readonly inner: RaftLinks, noise: RaftNoise, readonly tap: (envelope: RaftEnvelope) => void,
    readonly isHealed: () => boolean) {
    this.#env = env
    this.#noise = noise
  }

  send(to: StoreId, envelope: RaftEnvelope): boolean {
    this.tap(envelope)
    if (this.isHealed()) return this.inner.send(to, envelope)
    const { random } = this.#env
    const { loss, duplicate } = this.#noise
    if (duplicate > 0 && random.float() < duplicate) this.#again(to, envelope)
    if (loss > 0 && random.float() < loss) return true
    return this.inner.send(to, envelope)
  }

  #again(to: StoreId, envelope: RaftEnvelope): void {
    const { random } = this.#env
    const late = -Math.log(1 - random.float()) * this.#noise.lateMs * (random.float() < 0.1 ? 10 : 1)
    this.#env.post(late, () => {
      if (this.isHealed()) return
      this.inner.send(to, envelope)
      this.inner.flush()
    })
  }

  flush(): void { this.inner.flush() }
}
