// reduce/sum-of-squares: partial sums of squares of a flat array, the first of two passes.
//
//   partial[w] = Σ x[i]²      i in the w-th of PARTS equal stretches
//
// Both passes add in a fixed order, without atomics: the same bits every time.
// Dispatch: one workgroup per stretch: (PARTS, 1, 1).

override QUADS: u32;           // length of x in vec4
override PARTS: u32;
override WG_SIZE: u32 = 64u;
const ROW: u32 = 4u;           // loads that a lane has in flight at a time

struct Params { stretch: u32 } // vec4 per workgroup: ceil(QUADS / PARTS)

@group(0) @binding(0) var<storage, read> x: array<vec4f>;           // [QUADS · 4]
@group(0) @binding(1) var<storage, read_write> partial: array<f32>;     // [PARTS]
@group(0) @binding(2) var<uniform> params: Params;

// @import lib/workgroup-sum.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let lane = local.x;
  let start = wg.x * params.stretch;
  let end = min(start + params.stretch, QUADS);
  var sum = 0.0;
  var i = start + lane;
  for (; i + (ROW - 1u) * WG_SIZE < end; i += ROW * WG_SIZE) {
    for (var j = 0u; j < ROW; j++) { sum += dot(x[i + j * WG_SIZE], x[i + j * WG_SIZE]); }
  }
  for (; i < end; i += WG_SIZE) { sum += dot(x[i], x[i]); }
  let total = workgroup_sum(sum, lane);
  if (lane == 0u) { partial[wg.x] = total; }
}
