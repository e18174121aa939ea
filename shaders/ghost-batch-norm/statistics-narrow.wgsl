// ghost-batch-norm/statistics-narrow: statistics.wgsl for adapters whose subgroups have 8 lanes (software).
//
//   mean[g,c]     = 1/M · Σ x[n,c,p]                      n ∈ ghost g,  p ∈ [0, HW),  M = samples of ghost g · HW
//   variance[g,c] = 1/M · Σ (x[n,c,p] − mean[g,c])²       (biased), in one pass around the median of three values (lib/shift)
//
// A workgroup is one subgroup: no workgroup memory and no barriers, which cost most on such adapters. Each iteration makes eight
// loads, because an iteration costs as much as a load. The sums of eight loads are added up over BLOCK iterations, and those sums
// to the total, which keeps the rounding error of long groups small.
// Source:   Hoffer et al. 2017, Algorithm 1.
// Dispatch: (C, G, 1).
enable subgroups;

override C: u32;                    // channels
override HW: u32;                   // values in one channel of one sample
override BLOCKED: bool = true;      // whether a lane may run more than BLOCK iterations
alias Element = vec4f;              // @spec  f32 where HW is not a multiple of 4
alias Stored = vec4f;               // @spec  an Element in memory: f16 in mixed precision
const WIDTH: u32 = 4u;              // @spec  values in an Element
override PIXELS: u32 = HW / WIDTH;  // Elements in one channel of one sample
const LANES: u32 = 8u;
const ROW: u32 = 8u;                // loads that a lane makes per iteration of the loop

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

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let lane = local.x;
  let c = group.x;
  let g = group.y;
  let part = ghost(g, params.ghost_size, params.ghosts, params.total);
  let origin = (part.first * C + c) * PIXELS;
  let count = part.samples * PIXELS;
  let shift = median_of(
    vec4f(Element(x[origin + offset(first_place(count))])).x,
    vec4f(Element(x[origin + offset(second_place(count))])).x,
    vec4f(Element(x[origin + offset(third_place(count))])).x,
  );

  var sum = Element();
  var squares = Element();
  let iterations = count / (LANES * ROW);
  if (BLOCKED) {
    for (var block = 0u; block < iterations; block += BLOCK) {
      let some = sums_of(origin, lane, shift, block, min(iterations, block + BLOCK));
      sum += some.d;
      squares += some.squares;
    }
  } else {
    let all = sums_of(origin, lane, shift, 0u, iterations);
    sum = all.d;
    squares = all.squares;
  }
  for (var i = iterations * LANES * ROW + lane; i < count; i += LANES) {
    let d = Element(x[origin + offset(i)]) - shift;
    sum += d;
    squares = fma(d, d, squares);
  }
  // vec4() of a scalar Element makes four copies, so each counts a quarter.
  let weights = vec4f(f32(WIDTH) / 4.0);
  let m1 = subgroupAdd(dot(vec4f(sum), weights)) / f32(count * WIDTH);
  let m2 = subgroupAdd(dot(vec4f(squares), weights)) / f32(count * WIDTH);

  if (lane == 0u) {
    let row = (params.first_ghost + g) * params.total_channels + params.first_channel;
    statistics[row + c] = vec2f(shift + m1, variance_of(vec2f(m1, m2)));
  }
}

struct Sums {
  d: Element,
  squares: Element,
}

// Sums of a lane's loads in the iterations `first` to `end` − 1.
fn sums_of(origin: u32, lane: u32, shift: f32, first: u32, end: u32) -> Sums {
  var sums = Sums();
  for (var iteration = first; iteration < end; iteration++) {
    var sum = Element();
    var squares = Element();
    for (var j = 0u; j < ROW; j++) {
      let d = Element(x[origin + offset((iteration * ROW + j) * LANES + lane)]) - shift;
      sum += d;
      squares = fma(d, d, squares);
    }
    sums.d += sum;
    sums.squares += squares;
  }
  return sums;
}
