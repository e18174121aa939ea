// ghost-batch-norm/forward-dense: statistics and normalization in one pass, for layers without pixels (HW = 1).
//
//   mean[g,c]     = 1/M · Σ x[n,c]                      n ∈ ghost g,  M = samples of ghost g
//   variance[g,c] = 1/M · Σ (x[n,c] − mean[g,c])²       (biased), in one pass around the median of three values (lib/shift)
//   y[n,c]        = gamma · (x − mean) / √(variance + eps) + beta   [then relu]
//
// A lane owns four channels of one ghost, and ROWS lanes share its samples (ROWS is 1 on adapters with narrow subgroups, so that
// lanes need not exchange anything). The second read of x comes from the cache.
// Source:   Hoffer et al. 2017, Algorithm 1.
// Dispatch: (ceil(C / (4 · COLUMNS)), G, 1).

override C: u32;                // channels, a multiple of 4
override RELU: bool;
override COLUMNS: u32 = 8u;     // lanes side by side
override ROWS: u32 = 32u;       // lanes that share the samples of a ghost, a power of two
override BLOCKED: bool = true;  // whether a lane may run more than BLOCK iterations
override QUADS: u32 = C / 4u;
alias Stored = vec4f;           // @spec  an Element in memory: f16 in mixed precision

struct Params {
  ghost_size: u32,      // samples in a ghost
  ghosts: u32,          // G
  total: u32,           // N: where the last ghost ends
  first_ghost: u32,     // row of `statistics` that ghost 0 writes
  first_channel: u32,   // column of `statistics` that channel 0 writes
  total_channels: u32,  // columns of `statistics`
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;                // [N, C]
@group(0) @binding(1) var<storage, read> gamma: array<Element>;           // [C]
@group(0) @binding(2) var<storage, read> beta: array<Element>;            // [C]
@group(0) @binding(3) var<storage, read_write> statistics: array<vec2f>;  // [rows, total_channels] of (mean, variance)
@group(0) @binding(4) var<storage, read_write> y: array<Stored>;          // [N, C]
@group(0) @binding(5) var<uniform> params: Params;

alias Element = vec4f;
const ROW: u32 = 4u;          // samples that a lane handles per iteration of the loop
// @import lib/ghost-batch-norm.wgsl
// @import lib/relu.wgsl
// @import lib/rows-sum.wgsl
alias Shift = vec4f;
// @import lib/shift.wgsl

@compute @workgroup_size(COLUMNS, ROWS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) lane: vec3u) {
  let g = group.y;
  let own = group.x * COLUMNS + lane.x;
  let q = min(own, QUADS - 1u);  // lanes past the last channel compute too but write nothing
  let part = ghost(g, params.ghost_size, params.ghosts, params.total);
  let origin = part.first * QUADS + q;
  let shift = median_of(
    Element(x[origin + first_place(part.samples) * QUADS]),
    Element(x[origin + second_place(part.samples) * QUADS]),
    Element(x[origin + third_place(part.samples) * QUADS]),
  );

  var sum = Element();
  var squares = Element();
  let iterations = part.samples / (ROWS * ROW);
  if (BLOCKED) {
    for (var block = 0u; block < iterations; block += BLOCK) {
      let some = sums_of(origin, lane.y, shift, block, min(iterations, block + BLOCK));
      sum += some.d;
      squares += some.squares;
    }
  } else {
    let all = sums_of(origin, lane.y, shift, 0u, iterations);
    sum = all.d;
    squares = all.squares;
  }
  for (var n = iterations * ROW * ROWS + lane.y; n < part.samples; n += ROWS) {
    let d = Element(x[origin + n * QUADS]) - shift;
    sum += d;
    squares = fma(d, d, squares);
  }
  let moments = rows_sum(Rows(sum, squares), lane);
  let m1 = moments.a / f32(part.samples);
  let mean = shift + m1;
  let difference = moments.b / f32(part.samples) - m1 * m1;
  let variance = select(difference, Element(), difference < Element());  // never negative, as in variance_of
  if (own >= QUADS) { return; }

  if (lane.y == 0u) {
    let at = (params.first_ghost + g) * params.total_channels + params.first_channel + 4u * q;
    for (var j = 0u; j < 4u; j++) {
      statistics[at + j] = vec2f(mean[j], variance[j]);
    }
  }
  let scale = gamma[q] * inverse_deviation(variance, params.eps);
  let offset = beta[q];
  for (var iteration = 0u; iteration < iterations; iteration++) {
    for (var j = 0u; j < ROW; j++) {
      write(origin + ((iteration * ROW + j) * ROWS + lane.y) * QUADS, mean, scale, offset);
    }
  }
  for (var n = iterations * ROW * ROWS + lane.y; n < part.samples; n += ROWS) {
    write(origin + n * QUADS, mean, scale, offset);
  }
}

struct Sums {
  d: Element,
  squares: Element,
}

// Sums of a lane's samples in the iterations `first` to `end` − 1.
fn sums_of(origin: u32, row: u32, shift: Element, first: u32, end: u32) -> Sums {
  var sums = Sums();
  for (var iteration = first; iteration < end; iteration++) {
    var sum = Element();
    var squares = Element();
    for (var j = 0u; j < ROW; j++) {
      let d = Element(x[origin + ((iteration * ROW + j) * ROWS + row) * QUADS]) - shift;
      sum += d;
      squares = fma(d, d, squares);
    }
    sums.d += sum;
    sums.squares += squares;
  }
  return sums;
}

fn write(i: u32, mean: Element, scale: Element, offset: Element) {
  let value = affine(Element(x[i]), mean, scale, offset);
  y[i] = Stored(select(value, rectified(value), RELU));
}
