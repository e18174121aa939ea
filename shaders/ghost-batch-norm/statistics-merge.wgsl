// ghost-batch-norm/statistics-merge: statistics from the moments that a convolution wrote of its tiles, without reading x.
//
//   mean[g,c]     = 1/T · Σ_t mean_t                                    over the T tiles of PIXELS values in ghost g
//   variance[g,c] = 1/T · Σ_t (squares_t / PIXELS + (mean_t − mean[g,c])²)
//
// One pass: with d = mean_t − shift, where shift is the median of three of the means (lib/shift),
// Σ (mean_t − mean)² = Σd² − T · (Σd/T)².
// Neighbouring lanes take neighbouring channels, as the moments are stored; ROWS lanes share the tiles of a ghost.
// Source:   Chan, Golub, LeVeque 1983, "Algorithms for computing the sample variance", equation 2.1, for parts of equal size.
// Dispatch: (ceil(C / COLUMNS), G, 1).

override C: u32;                // channels
override TILES: u32;            // tiles of one image
override PIXELS: u32;           // values of a channel in one tile
override BLOCKED: bool = true;  // whether a lane may run more than BLOCK iterations
override COLUMNS: u32 = 8u;     // lanes side by side
override ROWS: u32 = 16u;       // lanes that share the tiles of a ghost, a power of two

struct Params {
  ghost_size: u32,      // samples in a ghost
  ghosts: u32,          // G
  total: u32,           // N: where the last ghost ends
  first_ghost: u32,     // row of `statistics` that ghost 0 writes
  first_channel: u32,   // column of `statistics` that channel 0 writes
  total_channels: u32,  // columns of `statistics`
}

@group(0) @binding(0) var<storage, read> moments: array<vec2f>;           // [N, TILES, C] of (mean, Σ (x − mean)²)
@group(0) @binding(1) var<storage, read_write> statistics: array<vec2f>;  // [rows, total_channels] of (mean, variance)
@group(0) @binding(2) var<uniform> params: Params;

alias Element = f32;
// @import lib/ghost-batch-norm.wgsl
alias Shift = f32;
// @import lib/shift.wgsl
// @import lib/rows-sum.wgsl

@compute @workgroup_size(COLUMNS, ROWS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) lane: vec3u) {
  let g = group.y;
  let own = group.x * COLUMNS + lane.x;
  let c = min(own, C - 1u);  // lanes past the last channel compute too but write nothing
  let part = ghost(g, params.ghost_size, params.ghosts, params.total);
  let tiles = part.samples * TILES;
  let origin = part.first * TILES * C + c;
  let shift = median_of(
    moments[origin + first_place(tiles) * C].x,
    moments[origin + second_place(tiles) * C].x,
    moments[origin + third_place(tiles) * C].x,
  );

  var sum = vec4f();
  if (BLOCKED) {
    for (var block = lane.y; block < tiles; block += BLOCK * ROWS) {
      sum += sums_of(origin, shift, block, min(tiles, block + BLOCK * ROWS));
    }
  } else {
    sum = sums_of(origin, shift, lane.y, tiles);
  }
  let whole = rows_sum(Rows(sum, vec4f()), lane).a / f32(tiles);
  if (lane.y == 0u && own < C) {
    let row = (params.first_ghost + g) * params.total_channels + params.first_channel;
    statistics[row + c] = vec2f(shift + whole.x, whole.z / f32(PIXELS) + variance_of(whole.xy));
  }
}

// Σd, Σd² and Σ squares of every ROWS-th tile from `first` to `end` − 1.
fn sums_of(origin: u32, shift: f32, first: u32, end: u32) -> vec4f {
  var sum = vec4f();
  for (var t = first; t < end; t += ROWS) {
    let tile = moments[origin + t * C];
    let d = tile.x - shift;
    sum += vec4f(d, d * d, tile.y, 0.0);
  }
  return sum;
}
