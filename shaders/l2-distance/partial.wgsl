// l2-distance/partial: partial sums of squared differences of two flat arrays, the first of two levels.
//
//   partial[w] = Σ (x[i] − start[i])²      i in the w-th of PARTS equal stretches
//
// Source:   ‖w − w₀‖ of Hoffer et al. 2017, Figure 2.
// Dispatch: one workgroup per stretch: (PARTS, 1, 1).

override QUADS: u32;           // length of x in vec4, the last one may be partly beyond SIZE
override SIZE: u32;            // length of x
override PARTS: u32;
override WG_SIZE: u32 = 64u;

struct Params { stretch: u32 } // vec4 per workgroup: ceil(QUADS / PARTS)

@group(0) @binding(0) var<storage, read> x: array<f32>;                 // [SIZE]
@group(0) @binding(1) var<storage, read> start: array<f32>;             // [SIZE]
@group(0) @binding(2) var<storage, read_write> partial: array<f32>;     // [PARTS]
@group(0) @binding(3) var<uniform> params: Params;

// @import lib/workgroup-sum.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
  let lane = local.x;
  let first = wg.x * params.stretch;
  let end = min(first + params.stretch, QUADS);
  var sum = 0.0;
  for (var quad = first + lane; quad < end; quad += WG_SIZE) {
    for (var i = 4u * quad; i < min(4u * quad + 4u, SIZE); i++) {
      let difference = x[i] - start[i];
      sum += difference * difference;
    }
  }
  let total = workgroup_sum(sum, lane);
  if (lane == 0u) { partial[wg.x] = total; }
}
