// gradient-noise/multiply: multiplies what each sample contributes to the gradient by a random factor.
//
//   dlogits[n,k] ← z[n] · dlogits[n,k]       z[n] = 1 + deviation · √(−2 ln u₁) · cos(2π u₂), normal of mean 1
//
// u₁ in (0, 1], u₂ in [0, 1) from pcg4d(seed, STREAM, step, index of the sample in the batch), so the factors do not
// depend on how the batch is cut into slabs. Backpropagation is linear in dlogits, so this gives Σ z_n ∇L_n for a network without
// batch norm. With batch norm, the factors still scale the gradient of each sample's logits.
// Source:   Hoffer et al. 2017, section 4 (multiplicative noise), z_n ~ N(1, σ²); the transform of Box and Muller (1958).
// Dispatch: one lane per row: (ceil(N / WG_SIZE), 1, 1).

override N: u32;               // rows
override K: u32;               // classes
override STREAM: u32;          // which use of randomness (src/support/random.ts, STREAMS)
override WG_SIZE: u32 = 64u;

struct Params {
  classes: u32,    // K as a uniform, so that the loop over it is not unrolled
  first: u32,      // index of the slab's first sample in the batch
  deviation: f32,
}

@group(0) @binding(0) var<storage, read_write> dlogits: array<f32>;  // [N, K]
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<uniform> params: Params;

// @import lib/step.wgsl
// @import lib/random.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let n = id.x;
  if (n >= N) { return; }
  let words = pcg4d(vec4u(step.seed, STREAM, step.step, params.first + n));
  let radius = sqrt(-2.0 * log(1.0 - uniform01(words.x)));
  let z = 1.0 + params.deviation * radius * cos(6.283185307179586 * uniform01(words.y));
  for (var k = 0u; k < params.classes; k++) { dlogits[n * K + k] *= z; }
}
