// Seeded test data, independent of src/. All numbers are exact in float32, so that the GPU and the float64 reference
// start from the same values.

/** Draws arrays of test data; the same seed gives the same arrays in the same order of calls. */
export interface RandomData {
  /** Normals with the given mean and standard deviation (0 and 1 by default). */
  normals(count: number, options?: { mean?: number; deviation?: number }): Float32Array<ArrayBuffer>;
  /** Uniforms in [low, high). */
  uniforms(count: number, low: number, high: number): Float32Array<ArrayBuffer>;
  /** Integers in [0, bound). */
  integers(count: number, bound: number): Int32Array<ArrayBuffer>;
  /** Bytes, 0 … 255. */
  bytes(count: number): Uint8Array<ArrayBuffer>;
}

export function randomData(seed: number): RandomData {
  const next = splitmix32(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()); // Box and Muller 1958
  return {
    normals: (count, { mean = 0, deviation = 1 } = {}) =>
      Float32Array.from({ length: count }, () => mean + deviation * normal()),
    uniforms: (count, low, high) => Float32Array.from({ length: count }, () => low + (high - low) * next()),
    integers: (count, bound) => Int32Array.from({ length: count }, () => Math.floor(next() * bound)),
    bytes: (count) => Uint8Array.from({ length: count }, () => Math.floor(next() * 256)),
  };
}

/** Uniforms in [0, 1) of 32 bits: a Weyl sequence through the finaliser of MurmurHash3 (its constants). */
function splitmix32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0; // 2³² / golden ratio
    let word = state ^ (state >>> 16);
    word = Math.imul(word, 0x85ebca6b);
    word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
    return ((word ^ (word >>> 16)) >>> 0) / 2 ** 32;
  };
}

/** A prime length for `repeated`. */
export const PATTERN = 4099;

/** `count` values of a short repeated pattern. With a prime length, a shift by rows, workgroups or vectors cannot go unnoticed. */
export function repeated(pattern: Float32Array<ArrayBuffer>, count: number): Float32Array<ArrayBuffer> {
  if (count <= pattern.length) return pattern.slice(0, count);
  const values = new Float32Array(count);
  for (let at = 0; at < count; at += pattern.length) {
    values.set(pattern.subarray(0, Math.min(pattern.length, count - at)), at);
  }
  return values;
}
