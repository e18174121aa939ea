// lib/random: counter-based random numbers, the same integers as src/support/random.ts.
//
// A number is a pure function of four words (seed, stream, a, b); nothing is stored between calls, so slabs,
// workgroup sizes and replays cannot change what is drawn.
// Source: Jarzynski and Olano 2020, "Hash Functions for GPU Rendering", JCGT 9(3), pcg4d.

// Four 32-bit words to four 32-bit words.
fn pcg4d(v: vec4u) -> vec4u {
  var h = v * 1664525u + 1013904223u;
  h.x += h.y * h.w;
  h.y += h.z * h.x;
  h.z += h.x * h.y;
  h.w += h.y * h.z;
  h = h ^ (h >> vec4u(16u));
  h.x += h.y * h.w;
  h.y += h.z * h.x;
  h.z += h.x * h.y;
  h.w += h.y * h.z;
  return h;
}

// A uniform number in [0, 1): the top 24 bits of a word over 2^24, exact in f32.
fn uniform01(word: u32) -> f32 {
  return f32(word >> 8u) * (1.0 / 16777216.0);
}
