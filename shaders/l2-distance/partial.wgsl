// l2-distance/partial: partial sums of squared differences of two flat arrays, the first of two passes.
//
//   partial[w] = Σ (x[i] − start[i])²      i in the w-th of PARTS equal stretches
//
// Source:   ‖w − w₀‖ of Hoffer et al. 2017, Figure 2.
// Dispatch: one workgroup per stretch: (PARTS, 1, 1).

override COUNT: u32;           // Elements of x
override PARTS: u32;
override WG_SIZE: u32 = 64u;
alias Element = vec4f;     // @spec  f32 where the length of x is not a multiple of 4
const WIDTH: u32 = 4u;         // @spec  values in an Element
const ROW: u32 = 4u;           // pairs of loads that a lane has in flight at a time

struct Params { stretch: u32 } // Elements per workgroup: ceil(COUNT / PARTS)

@group(0) @binding(0) var<storage, read> x: array<Element>;             // [COUNT · WIDTH]
@group(0) @binding(1) var<storage, read> start: array<Element>;         // [COUNT · WIDTH]
@group(0) @binding(2) var<storage, read_write> partial: array<f32>;     // [PARTS]
@group(0) @binding(3) var<uniform> params: Params;

// @import lib/workgroup-sum.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let lane = local.x;
  let first = wg.x * params.stretch;
  let end = min(first + params.stretch, COUNT);
  var sum = 0.0;
  var i = first + lane;
  for (; i + (ROW - 1u) * WG_SIZE < end; i += ROW * WG_SIZE) {
    for (var j = 0u; j < ROW; j++) { sum = with_squares(sum, i + j * WG_SIZE); }
  }
  for (; i < end; i += WG_SIZE) { sum = with_squares(sum, i); }
  let total = workgroup_sum(sum, lane);
  if (lane == 0u) { partial[wg.x] = total; }
}

// Adds the squares of one Element one by one, in the order of the array.
fn with_squares(sum: f32, i: u32) -> f32 {
  let difference = vec4f(x[i] - start[i]);  // vec4f() of a scalar Element makes four copies; the first counts
  var total = sum;
  for (var v = 0u; v < WIDTH; v++) { total += difference[v] * difference[v]; }
  return total;
}
