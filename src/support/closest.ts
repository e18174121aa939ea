// "Did you mean …?" for misspelt names.

/**
 * The candidate closest to a misspelt word, or null if none is close: at most a third of its letters, and
 * at least one, may be wrong, missing, too many or swapped with their neighbour.
 */
export function closest(word: string, candidates: readonly string[]): string | null {
  let best: string | null = null;
  let fewest = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const count = edits(word.toLowerCase(), candidate.toLowerCase());
    if (count < fewest) {
      best = candidate;
      fewest = count;
    }
  }
  return best;
}

/** The end of a message about an unknown word: the closest candidate, and all of them. */
export function suggestion(word: string, candidates: readonly string[]): string {
  const near = closest(word, candidates);
  return `${near === null ? "" : `did you mean ${near}? `}Expected one of ${candidates.join(", ")}`;
}

/** Changes that turn `a` into `b` (optimal string alignment distance; Damerau 1964). */
function edits(a: string, b: string): number {
  const rows = Array.from({ length: a.length + 1 }, (_, i) => [i, ...new Array<number>(b.length).fill(0)]);
  for (let j = 1; j <= b.length; j++) rows[0][j] = j;
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const replaced = rows[i - 1][j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      rows[i][j] = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, replaced);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) rows[i][j] = Math.min(rows[i][j], rows[i - 2][j - 2] + 1);
    }
  }
  return rows[a.length][b.length];
}
