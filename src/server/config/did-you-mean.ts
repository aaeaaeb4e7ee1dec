/** Edits (insert, delete, replace, swap of neighbours) from one text to the other. */
export function editDistance(left: string, right: string): number {
  const width = right.length + 1
  const rows = new Uint16Array((left.length + 1) * width)
  for (let i = 0; i <= left.length; i++) rows[i * width] = i
  for (let j = 0; j <= right.length; j++) rows[j] = j
  for (let i = 1; i <= left.length; i++) {
    for (let j = 1; j <= right.length; j++) {
      const same = left[i - 1] === right[j - 1] ? 0 : 1
      let best = Math.min(rows[(i - 1) * width + j]! + 1, rows[i * width + j - 1]! + 1, rows[(i - 1) * width + j - 1]! + same)
      const swapped = i > 1 && j > 1 && left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1]
      if (swapped) best = Math.min(best, rows[(i - 2) * width + j - 2]! + 1)
      rows[i * width + j] = best
    }
  }
  return rows[rows.length - 1]!
}

/** The nearest known word, if one is near enough to be meant. */
export function nearest(text: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(text.length / 3)) + 1
  for (const word of known) {
    const distance = editDistance(text, word)
    if (distance < bestDistance) {
      best = word
      bestDistance = distance
    }
  }
  return best
}
