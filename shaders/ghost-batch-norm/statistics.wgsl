// ghost-batch-norm/statistics: mean and variance of each channel over each ghost batch.
//
//   mean[g,c]     = 1/M · Σ x[n,c,p]                      n ∈ ghost g,  p ∈ [0, HW),  M = samples of ghost g · HW
//   variance[g,c] = 1/M · Σ (x[n,c,p] − mean[g,c])²       (biased)
//
// One pass: with d = x − shift, mean = shift + Σd/M and variance = Σd²/M − (Σd/M)². The shift is the median of three values
// (lib/shift). So there is no cancellation when |mean| ≫ σ, as there is in E[x²] − E[x]², nor when any one value is far from the others.
// A group too large for one workgroup is cut into SPLITS parts. The pair (mean, Σ (x − mean)²) of each then goes to
// [G, C, SPLITS, 2], and statistics-combine computes the statistics from the pairs.
// Source:   Hoffer et al. 2017, Algorithm 1.
// Dispatch: (C, G, SPLITS).

override C: u32;                    // channels
override HW: u32;                   // values in one channel of one sample
override SPLITS: u32 = 1u;          // workgroups that share a group
override WG_SIZE: u32 = 256u;       // lanes in a workgroup, a power of two
alias Element = vec4f;              // @spec  f32 where HW is not a multiple of 4
alias Stored = vec4f;               // @spec  an Element in memory: f16 in mixed precision
const WIDTH: u32 = 4u;              // @spec  values in an Element
override PIXELS: u32 = HW / WIDTH;  // Elements in one channel of one sample
const ROW: u32 = 4u;                // loads that a lane has in flight at a time

struct Params {
  ghost_size: u32,      // samples in a ghost
  ghosts: u32,          // G
  total: u32,           // N: where the last ghost ends
  first_ghost: u32,     // row of `statistics` that ghost 0 writes
  first_channel: u32,   // column of `statistics` that channel 0 writes
  total_channels: u32,  // columns of `statistics`
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;                // [N, C, HW]
@group(0) @binding(1) var<storage, read_write> statistics: array<vec2f>;  // [rows, total_channels] of (mean, variance)
@group(0) @binding(2) var<uniform> params: Params;

// @import lib/ghost-batch-norm.wgsl
// @import lib/ghost-batch-norm-offset.wgsl
alias Shift = f32;
// @import lib/shift.wgsl
// @import lib/workgroup-sum-pair.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let lane = local.x;
  let c = group.x;
  let g = group.y;
  let part = ghost(g, params.ghost_size, params.ghosts, params.total);
  let origin = (part.first * C + c) * PIXELS;
  let count = part.samples * PIXELS;
  let share = (count + SPLITS - 1u) / SPLITS;
  let start = min(count, group.z * share);
  let end = min(count, start + share);
  let shift = median_of(
    vec4f(Element(x[origin + offset(first_place(count))])).x,
    vec4f(Element(x[origin + offset(second_place(count))])).x,
    vec4f(Element(x[origin + offset(third_place(count))])).x,
  );

  var sum = Element();
  var squares = Element();
  var i = start + lane;
  for (; i + (ROW - 1u) * WG_SIZE < end; i += ROW * WG_SIZE) {
    for (var j = 0u; j < ROW; j++) {
      let d = Element(x[origin + offset(i + j * WG_SIZE)]) - shift;
      sum += d;
      squares = fma(d, d, squares);
    }
  }
  for (; i < end; i += WG_SIZE) {
    let d = Element(x[origin + offset(i)]) - shift;
    sum += d;
    squares = fma(d, d, squares);
  }
  // vec4() of a scalar Element makes four copies, so each counts a quarter.
  let weights = vec4f(f32(WIDTH) / 4.0);
  let sums = workgroup_sum_pair(vec2f(dot(vec4f(sum), weights), dot(vec4f(squares), weights)), lane);

  if (lane == 0u) {
    let values = f32(max((end - start) * WIDTH, 1u));
    let moments = sums / values;
    if (SPLITS > 1u) {
      statistics[(g * C + c) * SPLITS + group.z] = vec2f(shift + moments.x, values * variance_of(moments));
    } else {
      let row = (params.first_ghost + g) * params.total_channels + params.first_channel;
      statistics[row + c] = vec2f(shift + moments.x, variance_of(moments));
    }
  }
}
