import { SingleBar } from 'cli-progress'

/** A bar on a terminal, nothing elsewhere: output to a file stays clean. */
export class Progress {
  readonly #bar: SingleBar | undefined
  #done = 0
  #timer: NodeJS.Timeout | undefined

  constructor(readonly total: number, isShown = process.stderr.isTTY) {
    if (!isShown) return
    this.#bar = new SingleBar({
      format: '{bar} {percentage} %  {text}', barsize: 24, hideCursor: true, clearOnComplete: true, stream: process.stderr, fps: 5,
      linewrap: false,
    })
    this.#bar.start(total, 0, { text: '' })
  }

  /** Something that takes about this long begins. */
  begin(text: string, seconds: number): void {
    clearInterval(this.#timer)
    const started = performance.now()
    this.#bar?.update(this.#done, { text })
    const tick = (): void => { this.#bar?.update(this.#done + Math.min(seconds, (performance.now() - started) / 1_000), { text }) }
    if (this.#bar) this.#timer = setInterval(tick, 250)
  }

  end(seconds: number): void {
    clearInterval(this.#timer)
    this.#done += seconds
    this.#bar?.update(this.#done)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#bar?.stop()
  }
}
