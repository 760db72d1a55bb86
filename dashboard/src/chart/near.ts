const MOST = 3; // to choose from

/** Symbols of which `text` may be a misspelling, the nearest first: another case, another ending, a letter or two. */
export function near(text: string, symbols: Iterable<string>): string[] {
  const sought = text.toUpperCase();
  const most = sought.length < 5 ? 1 : 2;
  return [...new Set(symbols)]
    .map((symbol) => ({ symbol, far: distance(sought, symbol.toUpperCase(), most) }))
    .filter(({ far }) => far <= most)
    .sort((one, other) => one.far - other.far || (one.symbol < other.symbol ? -1 : 1))
    .slice(0, MOST)
    .map(({ symbol }) => symbol);
}

/**
 * How many letters have to be put in, left out, changed, or changed with their neighbour (optimal string alignment); more
 * than `most` is not counted to its end. A longer name that begins with all of it is nearer than those: BTC-USD to BTC.
 */
function distance(one: string, other: string, most: number): number {
  if (other.startsWith(one)) return other === one ? 0 : 0.5;
  if (Math.abs(one.length - other.length) > most) return most + 1;
  let [before, row] = [[] as number[], Array.from({ length: other.length + 1 }, (_, at) => at)];
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= other.length; j++) {
      const same = one[i - 1] === other[j - 1];
      const turned = i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1];
      const least = Math.min(at(row, j) + 1, at(next, j - 1) + 1, at(row, j - 1) + (same ? 0 : 1));
      next.push(turned ? Math.min(least, at(before, j - 2) + 1) : least);
    }
    [before, row] = [row, next];
  }
  return at(row, other.length);
}

const at = (row: readonly number[], place: number): number => row[place] ?? Number.POSITIVE_INFINITY;
