/** What memory holds before a kernel writes it: a NaN that no computation makes, so that unwritten elements are told apart. */
export const POISON = 0x7fc0dead;

/** Places in `words` that still hold it. */
export function poisonedPlaces(words: Uint32Array): number[] {
  const places: number[] = [];
  for (const [index, word] of words.entries()) if (word === POISON) places.push(index);
  return places;
}
