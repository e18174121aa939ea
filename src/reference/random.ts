// Reference of random: the counter-based numbers of pcg4d (Jarzynski and Olano 2020, "Hash Functions for GPU
// Rendering", JCGT 9(3)), in BigInt, so that 32-bit wrap-around is explicit. No import from the rest of src/.

const LOW_WORD = 0xffffffffn;

/**
 * Four counters of 32 bits to four random words of 32 bits.
 *
 *   v = v · 1664525 + 1013904223;  mix(v);  v ^= v >> 16;  mix(v)
 *   mix: x += y·w;  y += z·x;  z += x·y;  w += y·z   (one after the other, mod 2³²)
 */
export function pcg4d(counters: readonly [number, number, number, number]): [number, number, number, number] {
  let [x, y, z, w] = counters.map((word) => (BigInt(word) * 1664525n + 1013904223n) & LOW_WORD);
  for (let round = 0; round < 2; round++) {
    x = (x + y * w) & LOW_WORD;
    y = (y + z * x) & LOW_WORD;
    z = (z + x * y) & LOW_WORD;
    w = (w + y * z) & LOW_WORD;
    if (round === 0) [x, y, z, w] = [x, y, z, w].map((word) => word ^ (word >> 16n));
  }
  return [Number(x), Number(y), Number(z), Number(w)];
}

/** A word to a number in [0, 1): its upper 24 bits · 2⁻²⁴, which float32 holds exactly. */
export function uniformFromWord(word: number): number {
  return Math.floor(word / 256) / 2 ** 24;
}

/**
 * Two words to two independent standard normals (Box and Muller 1958), with uniforms u of `uniformFromWord`:
 * √(−2 · ln(1 − u₁)) · cos(2π · u₂) and the same with sin. 1 − u₁ lies in (0, 1], so the logarithm is finite.
 */
export function normalsFromWords(first: number, second: number): [number, number] {
  const radius = Math.sqrt(-2 * Math.log(1 - uniformFromWord(first)));
  const angle = 2 * Math.PI * uniformFromWord(second);
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
}
