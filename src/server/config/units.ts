const durationUnits: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const sizeUnits: Readonly<Record<string, number>> = {
  B: 1, KB: 1 << 10, KiB: 1 << 10, MB: 1 << 20, MiB: 1 << 20, GB: 1 << 30, GiB: 1 << 30, TB: 2 ** 40, TiB: 2 ** 40,
}

/** `1m30s` → 90 000. A bare number has no unit and is refused: ms or s would be a guess. 0 is 0 in any unit. */
export function parseDurationMs(raw: unknown): number | undefined {
  if (raw === 0 || raw === '0') return 0
  if (typeof raw !== 'string') return undefined
  const text = raw.trim()
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return undefined
  let total = 0
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    total += Number(number) * (durationUnits[unit ?? ''] ?? 0)
  }
  return Number.isFinite(total) ? total : undefined
}

/** `96MiB` → 100 663 296; as TiKV, `MB` means the same as `MiB`. A bare whole number is bytes. */
export function parseBytes(raw: unknown): number | undefined {
  if (typeof raw === 'number') return Number.isSafeInteger(raw) && raw >= 0 ? raw : undefined
  if (typeof raw !== 'string') return undefined
  const match = /^(\d+(?:\.\d+)?)\s*(B|KB|KiB|MB|MiB|GB|GiB|TB|TiB)?$/.exec(raw.trim())
  if (match === null) return undefined
  const bytes = Math.round(Number(match[1]) * (sizeUnits[match[2] ?? 'B'] ?? 1))
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

export function formatDuration(ms: number): string {
  if (ms === 0) return '0s'
  for (const [unit, size] of [['h', 3_600_000], ['m', 60_000], ['s', 1_000]] as const) {
    if (ms % size === 0) return `${ms / size}${unit}`
  }
  return `${ms}ms`
}

export function formatBytes(bytes: number): string {
  for (const [unit, size] of [['TiB', 2 ** 40], ['GiB', 1 << 30], ['MiB', 1 << 20], ['KiB', 1 << 10]] as const) {
    if (bytes !== 0 && bytes % size === 0) return `${bytes / size}${unit}`
  }
  return `${bytes}B`
}
