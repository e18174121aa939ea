// random/uniform: numbers uniform in [low, high), each from its own counter.
//
//   x[i] = low + (high − low) · uniform01(pcg4d(seed, STREAM, tensor, i))
//
// Dispatch: one lane per element, in a grid folded into two dimensions.

override SIZE: u32;
override STREAM: u32;          // which use of randomness (src/support/random.ts, STREAMS)
override WG_SIZE: u32 = 64u;

struct Params { seed: u32, tensor: u32, low: f32, high: f32 }

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
  x[i] = params.low + (params.high - params.low) * uniform01(bits.x);
}
