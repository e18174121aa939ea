// random/normal: normal numbers, each from its own counter, by the transform of Box and Muller (1958).
//
//   x[i] = mean + deviation · √(−2 ln u₁) · cos(2π u₂)       u₁ in (0, 1], u₂ in [0, 1)
//
// Dispatch: one lane per element, in a grid folded into two dimensions.

override SIZE: u32;
override STREAM: u32;          // which use of randomness (src/support/random.ts, STREAMS)
override WG_SIZE: u32 = 64u;

struct Params { seed: u32, tensor: u32, mean: f32, deviation: f32 }

@group(0) @binding(0) var<storage, read_write> x: array<f32>;  // [SIZE]
@group(0) @binding(1) var<uniform> params: Params;

// @import lib/random.wgsl
// @import lib/grid.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) count: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let lane = local.x;
  let i = flat_index(wg, count, lane, WG_SIZE);
  if (i >= SIZE) { return; }
  let bits = pcg4d(vec4u(params.seed, STREAM, params.tensor, i));
  let radius = sqrt(-2.0 * log(1.0 - uniform01(bits.x)));
  x[i] = params.mean + params.deviation * radius * cos(6.283185307179586 * uniform01(bits.y));
}
