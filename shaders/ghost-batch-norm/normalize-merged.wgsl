// ghost-batch-norm/normalize-merged: normalize.wgsl after a convolution that has written the moments of its tiles.
//
//   y = gamma · (x − mean) / √(variance + eps) + beta   [+ residual]   [then relu]
//
// Every workgroup merges the moments of its channel and ghost itself, with the formula of statistics-merge.wgsl, which saves a dispatch;
// the moments are few and in a cache. The first workgroup of each ghost writes the statistics, for backward and running statistics.
// Source:   Hoffer et al. 2017, Algorithm 1; Chan, Golub, LeVeque 1983, equation 2.1, for parts of equal size.
// Dispatch: (C, G, parts): a channel of a ghost is shared by `parts` workgroups.

override C: u32;                    // channels
override HW: u32;                   // values in one channel of one sample
override RELU: bool;
override RESIDUAL: bool;            // without one, any tensor may be bound here: it is not read
override TILES: u32;                // tiles of one image
override TILE_PIXELS: u32;          // values of a channel in one tile
override WG_SIZE: u32 = 64u;        // lanes, a power of two
override COLUMNS: u32 = 1u;         // lib/rows-sum: the lanes are rows of one column
override ROWS: u32 = WG_SIZE;
override ROW: u32 = 4u;             // Elements that a lane handles per iteration of the loop
alias Element = vec4f;              // @spec  f32 where HW is not a multiple of 4
alias Stored = vec4f;               // @spec  an Element in memory: f16 in mixed precision
const WIDTH: u32 = 4u;              // @spec  values in an Element
override PIXELS: u32 = HW / WIDTH;  // Elements in one channel of one sample

struct Params {
  ghost_size: u32,      // samples in a ghost
  ghosts: u32,          // G
  total: u32,           // N: where the last ghost ends
  first_ghost: u32,     // row of `statistics` that ghost 0 writes
  first_channel: u32,   // column of `statistics` that channel 0 writes
  total_channels: u32,  // columns of `statistics`
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;                // [N, C, HW]
@group(0) @binding(1) var<storage, read> moments: array<vec2f>;           // [N, TILES, C] of (mean, Σ (x − mean)²)
@group(0) @binding(2) var<storage, read> gamma: array<f32>;               // [C]
@group(0) @binding(3) var<storage, read> beta: array<f32>;                // [C]
@group(0) @binding(4) var<storage, read> residual: array<Stored>;         // [N, C, HW]
@group(0) @binding(5) var<storage, read_write> statistics: array<vec2f>;  // [rows, total_channels] of (mean, variance)
@group(0) @binding(6) var<storage, read_write> y: array<Stored>;          // [N, C, HW]
@group(0) @binding(7) var<uniform> params: Params;

// @import lib/ghost-batch-norm.wgsl
alias Shift = f32;
// @import lib/shift.wgsl
// @import lib/relu.wgsl
// @import lib/rows-sum.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let lane = local.x;
  let c = group.x;
  let g = group.y;
  let part = ghost(g, params.ghost_size, params.ghosts, params.total);
  let statistic = merged(part, c, lane);
  if (group.z == 0u && lane == 0u) {
    statistics[(params.first_ghost + g) * params.total_channels + params.first_channel + c] = statistic;
  }
  let origin = (part.first * C + c) * PIXELS;
  let mu = Element(statistic.x);
  let scale = gamma[c] * inverse_deviation(Element(statistic.y), params.eps);
  let bias = Element(beta[c]);

  let count = part.samples * PIXELS;
  let iterations = count / (WG_SIZE * ROW);
  let share = (iterations + grid.z - 1u) / grid.z;
  for (var iteration = group.z * share; iteration < min(iterations, (group.z + 1u) * share); iteration++) {
    for (var j = 0u; j < ROW; j++) {
      write(origin, (iteration * ROW + j) * WG_SIZE + lane, mu, scale, bias);
    }
  }
  if (group.z + 1u == grid.z) {
    for (var i = iterations * WG_SIZE * ROW + lane; i < count; i += WG_SIZE) {
      write(origin, i, mu, scale, bias);
    }
  }
}

// Mean and variance of a channel of a ghost, from the moments of its tiles, returned to every lane.
fn merged(part: Ghost, c: u32, lane: u32) -> vec2f {
  let tiles = part.samples * TILES;
  let origin = part.first * TILES * C + c;
  let shift = median_of(
    moments[origin + first_place(tiles) * C].x,
    moments[origin + second_place(tiles) * C].x,
    moments[origin + third_place(tiles) * C].x,
  );
  var sum = vec4f();  // Σd, Σd², Σ squares
  for (var t = lane; t < tiles; t += WG_SIZE) {
    let tile = moments[origin + t * C];
    let d = tile.x - shift;
    sum += vec4f(d, d * d, tile.y, 0.0);
  }
  let whole = rows_sum(Rows(sum, vec4f()), vec3u(0u, lane, 0u)).a / f32(tiles);
  return vec2f(shift + whole.x, whole.z / f32(TILE_PIXELS) + variance_of(whole.xy));
}

// Writes the i-th Element of a channel of a ghost, whose first one is at `origin`.
fn write(origin: u32, i: u32, mu: Element, scale: Element, bias: Element) {
  let at = origin + i / PIXELS * C * PIXELS + i % PIXELS;
  var value = affine(Element(x[at]), mu, scale, bias);
  if (RESIDUAL) { value += Element(residual[at]); }
  if (RELU) { value = rectified(value); }
  y[at] = Stored(value);
}
