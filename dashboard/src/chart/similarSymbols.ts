const MAX_SUGGESTIONS = 3;

/** Return the symbols that `text` may be a misspelling of, nearest first. */
export function similarSymbols(text: string, symbols: Iterable<string>): string[] {
  const query = text.toUpperCase();
  const limit = query.length < 5 ? 1 : 2;
  return [...new Set(symbols)]
    .map((symbol) => ({ symbol, distance: editDistance(query, symbol.toUpperCase(), limit) }))
    .filter(({ distance }) => distance <= limit)
    .sort((one, other) => one.distance - other.distance || (one.symbol < other.symbol ? -1 : 1))
    .slice(0, MAX_SUGGESTIONS)
    .map(({ symbol }) => symbol);
}

/**
 * Return the number of insertions, deletions, substitutions and swaps of neighbours between two words: the optimal string
 * alignment distance (https://en.wikipedia.org/wiki/Damerau-Levenshtein_distance).
 *
 * A distance that must exceed `limit` is returned as `limit + 1`. A word that begins with all of `one` counts as nearer
 * than any edit, so that BTC finds BTC-USD.
 */
function editDistance(one: string, other: string, limit: number): number {
  if (other.startsWith(one)) return other === one ? 0 : 0.5;
  if (Math.abs(one.length - other.length) > limit) return limit + 1;
  let [before, row] = [[] as number[], Array.from({ length: other.length + 1 }, (_, index) => index)];
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= other.length; j++) {
      const same = one[i - 1] === other[j - 1];
      const swapped = i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1];
      const least = Math.min(at(row, j) + 1, at(next, j - 1) + 1, at(row, j - 1) + (same ? 0 : 1));
      next.push(swapped ? Math.min(least, at(before, j - 2) + 1) : least);
    }
    [before, row] = [row, next];
  }
  return at(row, other.length);
}

const at = (row: readonly number[], index: number): number => row[index] ?? Number.POSITIVE_INFINITY;
