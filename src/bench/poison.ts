/** Contents of memory before a kernel writes it: a NaN that no computation produces, which identifies unwritten elements. */
export const POISON = 0x7fc0dead;

/** How many words still contain it, and the first few of their indices. */
export function poisonedPlaces(words: Uint32Array): {
  readonly count: number;
  readonly first: readonly number[];
} {
  const first: number[] = [];
  let count = 0;
  for (let i = 0; i < words.length; i++) {
    if (words[i] !== POISON) continue;
    count++;
    if (first.length < 4) first.push(i);
  }
  return { count, first };
}
