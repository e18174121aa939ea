// l2-distance/finish: the root of the sum of partial sums, in a fixed order.
//
//   distance[INDEX] = √ Σ_w partial[w]
//
// Dispatch: (1, 1, 1).

override PARTS: u32;
override INDEX: u32;           // which element of distance
override WG_SIZE: u32 = 1u;    // lanes that share the partial sums, a power of two

struct Params { parts: u32 }   // PARTS as a uniform, so that the loop over it is not unrolled

@group(0) @binding(0) var<storage, read> partial: array<f32>;             // [PARTS]
@group(0) @binding(1) var<storage, read_write> distance_out: array<f32>;  // [at least INDEX + 1]
@group(0) @binding(2) var<uniform> params: Params;

// @import lib/workgroup-sum.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(local_invocation_index) lane: u32) {
  var share = 0.0;
  for (var w = lane; w < min(params.parts, PARTS); w += WG_SIZE) { share += partial[w]; }
  let sum = workgroup_sum(share, lane);
  if (lane != 0u) { return; }
  distance_out[INDEX] = sqrt(sum);
}
