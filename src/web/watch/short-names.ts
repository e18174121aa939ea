/** Short names of runs: without the hash at the end, and without parts that all of them share at the beginning or end. */

/** A hash of 12 hexadecimal digits, which ends the name of a run. */
const HASH = /-[0-9a-f]{12}$/;

/** @returns a different short name for each */
export function shortNames(names: readonly string[]): ReadonlyMap<string, string> {
  const parts = names.map((name) => name.replace(HASH, "").split("-"));
  const least = Math.min(...parts.map(({ length }) => length)) - 1; // keep at least one part
  let [first, last] = [0, 0];
  if (names.length > 1) {
    const isSame = (of: (one: string[]) => string | undefined) => new Set(parts.map(of)).size === 1;
    while (first < least && isSame((one) => one[first])) first++;
    while (first + last < least && isSame((one) => one[one.length - 1 - last])) last++;
  }
  const short = parts.map((one) => one.slice(first, one.length - last).join("-"));
  const taken = (name: string) => short.filter((other) => other === name).length > 1;
  return new Map(names.map((name, i) => [name, taken(short[i]!) ? name : short[i]!]));
}
