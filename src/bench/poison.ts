/** What memory holds before a kernel writes it: a NaN that no computation makes, so that unwritten elements are told apart. */
export const POISON = 0x7fc0dead;

/** How many words still hold it, and the first few places of them. */
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
