import { readFileSync } from 'node:fs'

let known: string | undefined

/** Of package.json. From dist/src/server/. */
export function karstVersion(): string {
  known ??= (JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string }).version
  return known
}
